package pvedropin

import (
	"strings"
	"testing"
)

func TestTargetsAreThoseOfTheListAndNoOther(t *testing.T) {
	list, err := ParseTargets([]string{"pve1", "PVE2.example.org", "10.0.0.3", "pve4:8443", "fd00::5", "[fd00::6]:8006"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target string
		want   string // "" if it is refused
	}{
		{"pve1", "pve1:8006"}, {"PVE1", "pve1:8006"}, {"pve1:8006", "pve1:8006"},
		{"pve2.example.org", "pve2.example.org:8006"}, {"10.0.0.3", "10.0.0.3:8006"},
		{"pve4:8443", "pve4:8443"},
		{"fd00::5", "[fd00::5]:8006"}, {"[fd00::5]", "[fd00::5]:8006"}, {"[fd00:0::5]:8006", "[fd00::5]:8006"}, {"[FD00::6]", "[fd00::6]:8006"},
		{"::ffff:10.0.0.3", "10.0.0.3:8006"}, // the same host by another name

		{"pve1:443", ""}, {"pve1:80", ""}, {"pve4", ""}, {"pve4:8006", ""},
		{"pve3", ""}, {"localhost", ""}, {"127.0.0.1", ""}, {"169.254.169.254", ""}, {"evil.example.org", ""},
		{"pve1.evil.example.org", ""}, {"pve1.", ""}, {".pve1", ""}, {"", ""}, {" pve1", ""}, {"pve1 ", ""}, {"pve1\n", ""}, {"pve1\x00", ""},
		{"pve1@evil.example.org", ""}, {"evil.example.org@pve1", ""}, {"user:pw@pve1", ""}, {"pve1:8006@evil.example.org", ""},
		{"pve1#evil.example.org", ""}, {"pve1?x", ""}, {"pve1/..", ""}, {"pve1/x", ""}, {"pve1\\x", ""}, {"pve1%2eevil", ""},
		{"https://pve1", ""}, {"//pve1", ""}, {"pve1,evil.example.org", ""}, {"pve1;x", ""},
		{"pve1:", ""}, {"pve1:0", ""}, {"pve1:65536", ""}, {"pve1:08006x", ""}, {"pve1:+8006", ""}, {"pve1:8006:8006", ""},
		{"167772163", ""}, {"0x0a000003", ""}, {"10.3", ""}, {"010.0.0.3", ""}, {"10.0.0.3.", ""},
		{"[10.0.0.3]", ""}, {"[pve1]", ""}, {"[fd00::5", ""}, {"fd00::5]", ""}, {"[fd00::5]8006", ""}, {"[fd00::5]:", ""}, {"[fd00::5]:443", ""},
		{"fd00::5%eth0", ""}, {"[fd00::5%25eth0]", ""}, {"[::ffff:10.0.0.4]", ""}, {"pvé1", ""}, {"\uff50ve1", ""},
	} {
		got := ""
		if parsed, err := parseTarget(c.target); err == nil {
			if at, ok := list.allow(parsed, 8006); ok {
				got = at.String()
			}
		}
		if got != c.want {
			t.Errorf("target %q: asks %q, want %q", c.target, got, c.want)
		}
	}
}

func TestAnEmptyListAllowsThisMachineOnly(t *testing.T) {
	list, err := ParseTargets(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "[::1]": true, "::1": true, "localhost:8006": true,
		"localhost:22": false, "127.0.0.2": false, "0.0.0.0": false, "pve1": false, "localhost.example.org": false, "::": false,
	} {
		parsed, err := parseTarget(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := list.allow(parsed, 8006); ok != want {
			t.Errorf("%s is allowed: %t", name, ok)
		}
	}
}

func TestAnEntryWithoutPortMeansThePortOfTheModule(t *testing.T) {
	list, err := ParseTargets([]string{"pve1"})
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := list.allow(target{host: "pve1"}, 8443); !ok || at.String() != "pve1:8443" {
		t.Errorf("%v, %t", at, ok)
	}
	if at, ok := list.allow(target{"pve1", 8006}, 8443); ok {
		t.Errorf("%v is allowed", at)
	}
}

func TestABadListIsRefused(t *testing.T) {
	for _, s := range []string{"", "https://pve1", "pve1:x", "*", "10.0.0.0/8", "a b"} {
		if _, err := ParseTargets([]string{"pve1", s}); err == nil || !strings.Contains(err.Error(), "allowed target") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"pve1", "pve1:8006", "[::1]:8006", "a@b", "::ffff:1.2.3.4", "1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := parseTarget(s)
		if err != nil {
			return
		}
		again, err := parseTarget(parsed.String())
		if err != nil || again != parsed {
			t.Errorf("%q is %+v, which is %+v, %v", s, parsed, again, err)
		}
		if strings.ContainsAny(parsed.host, "@/?#% \\\r\n\t,;") {
			t.Errorf("%q gives host %q", s, parsed.host)
		}
	})
}
