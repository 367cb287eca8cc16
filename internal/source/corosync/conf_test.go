package corosync

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConfigThatProxmoxWrites(t *testing.T) {
	got, err := ReadConfig("testdata/proxmox.conf")
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		ClusterName: "quorate1", ConfigVersion: 3, Transport: "knet", LinkMode: "passive",
		CryptoCipher: "aes256", CryptoHash: "sha256",
		Nodes: []ConfNode{
			{ID: 1, Name: "pve1", Votes: 1, Rings: map[int]string{0: "10.77.0.1", 1: "10.78.0.1"}},
			{ID: 2, Name: "pve2", Votes: 1, Rings: map[int]string{0: "10.77.0.2", 1: "10.78.0.2"}},
			{ID: 3, Name: "pve3", Votes: 1, Rings: map[int]string{0: "10.77.0.3", 1: "10.78.0.3"}},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !got.Encrypted() {
		t.Error("secauth is on")
	}
}

// confNode is a minimal node for the tables below.
func confNode(id, more string) string {
	return "node {\n nodeid: " + id + "\n ring0_addr: 10.0.0." + id + "\n" + more + "}\n"
}

func TestConfigDefaultsAndSettings(t *testing.T) {
	two := "nodelist {\n" + confNode("1", "") + confNode("2", "quorum_votes: 3\n ring7_addr: fd00::2\n") + "}\n"
	for name, tc := range map[string]struct {
		text  string
		check func(Config) bool
	}{
		"an empty file":                     {"", func(c Config) bool { return c.Transport == "knet" && c.LinkMode == "passive" && !c.Encrypted() }},
		"a node's name is its address":      {two, func(c Config) bool { return c.Nodes[0].Name == "10.0.0.1" }},
		"a node has one vote":               {two, func(c Config) bool { return c.Nodes[0].Votes == 1 && c.Nodes[1].Votes == 3 }},
		"an IPv6 address keeps its colons":  {two, func(c Config) bool { return c.Nodes[1].Rings[7] == "fd00::2" && len(c.Nodes[1].Rings) == 2 }},
		"no qdevice":                        {two + "quorum {\n device {\n votes: 1\n }\n}\n", func(c Config) bool { return !c.QDevice && c.QDeviceVotes == 0 }},
		"qdevice with votes":                {two + "quorum {\n device {\n model: net\n votes: 1\n }\n}\n", func(c Config) bool { return c.QDevice && c.QDeviceVotes == 1 }},
		"qdevice is worth all but one":      {two + "quorum {\n device {\n model: net\n net {\n host: x\n }\n }\n}\n", func(c Config) bool { return c.QDevice && c.QDeviceVotes == 3 }},
		"two_node implies wait_for_all":     {"quorum {\n two_node: 1\n}\n", func(c Config) bool { return c.TwoNode && c.WaitForAll }},
		"wait_for_all can be refused":       {"quorum {\n two_node: 1\n wait_for_all: 0\n}\n", func(c Config) bool { return c.TwoNode && !c.WaitForAll }},
		"wait_for_all":                      {"quorum {\n wait_for_all: 1\n expected_votes: 5\n}\n", func(c Config) bool { return c.WaitForAll && c.ExpectedVotes == 5 }},
		"crypto overrides secauth":          {"totem {\n secauth: on\n crypto_cipher: aes128\n}\n", func(c Config) bool { return c.CryptoCipher == "aes128" && c.CryptoHash == "sha256" }},
		"the last value counts":             {"totem {\n cluster_name: a\n}\ntotem {\n cluster_name: b\n config_version: 18446744073709551615\n}\n", func(c Config) bool { return c.ClusterName == "b" && c.ConfigVersion == 1<<64-1 }},
		"comments, blanks and Windows ends": {"# x { y\r\n\r\n\ttotem\t{\r\n  cluster_name :  a b \r\n\t}\r\n", func(c Config) bool { return c.ClusterName == "a b" }},
		"other sections are passed over":    {"system {\n x: 1\n deep {\n y: 2\n }\n}\n", func(c Config) bool { return len(c.Nodes) == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := ParseConfig(strings.NewReader(tc.text), "corosync.conf")
			if err != nil || !tc.check(c) {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
}

func TestConfigErrorsNameTheLine(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no colon":              {"totem {\n version 2\n}\n", `corosync.conf:2: neither a section, a }, nor a key with a colon: "version 2"`},
		"not closed":            {"totem {\n version: 2\n", `corosync.conf:1: section totem is not closed`},
		"closed twice":          {"totem {\n}\n}\n", `corosync.conf:3: } closes no section`},
		"section without name":  {"\n{\n}\n", `corosync.conf:2: a section has no name before {`},
		"text after brace":      {"totem { version: 2\n}\n", `corosync.conf:1: text after {: " version: 2" (put it on a line of its own)`},
		"votes are no number":   {"nodelist {\n" + confNode("1", "quorum_votes: many\n") + "}\n", `corosync.conf:5: quorum_votes: "many" is not a whole number in range`},
		"node id is too large":  {"nodelist {\n" + confNode("4294967296", "") + "}\n", `corosync.conf:3: nodeid: "4294967296" is not a whole number in range`},
		"no node id":            {"nodelist {\n node {\n name: a\n ring0_addr: x\n }\n}\n", `corosync.conf:2: node "a" has no nodeid above 0: Proxmox VE and transport knet need one for every node`},
		"no address":            {"nodelist {\n node {\n name: a\n nodeid: 1\n }\n}\n", `corosync.conf:2: node "a" has no ring0_addr`},
		"node id is used twice": {"nodelist {\n" + confNode("1", "") + confNode("1", "") + "}\n", `corosync.conf:7: nodeid 1 is used twice`},
		"too large":             {strings.Repeat("# comment\n", maxConfBytes/10+1), `corosync.conf:104858: file is larger than 1048576 bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConfig(strings.NewReader(tc.text), "corosync.conf")
			var parse *ParseError
			if !errors.As(err, &parse) || err.Error() != tc.want {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestMissingConfigIsRecognisable(t *testing.T) {
	if _, err := ReadConfig(filepath.Join(t.TempDir(), "corosync.conf")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// FuzzParseConfig checks that no input makes the parser fail otherwise than with a line number, nor
// accept what the link prober and the vote count could not use.
func FuzzParseConfig(f *testing.F) {
	real, err := os.ReadFile("testdata/proxmox.conf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(real))
	f.Add("nodelist {\n" + confNode("1", "name: a\n") + "}\nquorum {\n device {\n model: net\n}\n}")
	f.Add("a {\n b: c {\n}\n}")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig(strings.NewReader(text), "f")
		var parse *ParseError
		if err != nil {
			if !errors.As(err, &parse) || parse.Line < 1 || parse.Text == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		seen := map[uint32]bool{}
		for _, n := range c.Nodes {
			if n.ID == 0 || seen[n.ID] || n.Name == "" || n.Rings[0] == "" {
				t.Fatalf("%+v", n)
			}
			seen[n.ID] = true
		}
	})
}
