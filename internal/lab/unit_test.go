package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func plainAddr(node, network int) string { return fmt.Sprintf("10.77.%d.%d", network, node) }

func TestCorosyncConfIsWhatProxmoxWrites(t *testing.T) {
	got := corosyncConf(Options{Nodes: 2}, plainAddr, corosyncSettings{}, 7)
	want := `logging {
  debug: off
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  timestamp: hires
}

nodelist {
  node {
    name: pve1
    nodeid: 1
    quorum_votes: 1
    ring0_addr: 10.77.0.1
    ring1_addr: 10.77.1.1
  }
  node {
    name: pve2
    nodeid: 2
    quorum_votes: 1
    ring0_addr: 10.77.0.2
    ring1_addr: 10.77.1.2
  }
}

quorum {
  provider: corosync_votequorum
}

totem {
  cluster_name: quorate-lab
  config_version: 7
  interface {
    linknumber: 0
  }
  interface {
    linknumber: 1
  }
  ip_version: ipv4-6
  link_mode: passive
  secauth: on
  token_coefficient: 125
  version: 2
}
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCorosyncConfOptions(t *testing.T) {
	for name, test := range map[string]struct {
		options  Options
		settings corosyncSettings
		want     string
		votes    int
	}{
		"wait for all":       {Options{Nodes: 3}, corosyncSettings{WaitForAll: true}, "  wait_for_all: 1\n", 3},
		"token":              {Options{Nodes: 3, Token: time.Second}, corosyncSettings{}, "  token: 1000\n", 3},
		"QDevice, even":      {Options{Nodes: 2, QDevice: true}, corosyncSettings{}, "    votes: 1\n    net {\n      algorithm: ffsplit\n      host: 10.77.3.250\n", 3},
		"QDevice, odd":       {Options{Nodes: 3, QDevice: true}, corosyncSettings{}, "    votes: 2\n    net {\n      algorithm: lms\n", 5},
		"twenty nodes":       {Options{Nodes: 20}, corosyncSettings{}, "    ring1_addr: 10.77.1.20\n", 20},
		"QDevice, four":      {Options{Nodes: 4, QDevice: true}, corosyncSettings{}, "algorithm: ffsplit", 5},
		"one node by itself": {Options{Nodes: 1}, corosyncSettings{}, "name: pve1\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := corosyncConf(test.options, plainAddr, test.settings, 1); !strings.Contains(got, test.want) {
				t.Errorf("no %q in\n%s", test.want, got)
			}
			if got := configuredVotes(test.options); got != test.votes {
				t.Errorf("configured votes %d, not %d", got, test.votes)
			}
		})
	}
}

func TestConfigVersionRisesWithEachChange(t *testing.T) {
	l := newLab(Options{Dir: t.TempDir(), Nodes: 2})
	for want := 1; want <= 3; want++ {
		if err := l.writeConfigs(corosyncSettings{}); err != nil {
			t.Fatal(err)
		}
		for _, node := range l.Nodes() {
			if got, err := configVersion(l.confPath(node)); err != nil || got != want {
				t.Errorf("%s has version %d (%v), not %d", NodeName(node), got, err, want)
			}
		}
	}
	keys := map[string]bool{}
	for _, node := range l.Nodes() {
		key, err := os.ReadFile(filepath.Join(l.NodeDir(node), "etc/authkey"))
		if err != nil || len(key) != authkeySize {
			t.Errorf("authkey of %d bytes: %v", len(key), err)
		}
		keys[string(key)] = true
	}
	if len(keys) != 1 {
		t.Error("the nodes have different keys")
	}
}

func TestFaultArguments(t *testing.T) {
	for _, test := range []struct {
		line string
		want string // part of the error; empty: accepted
	}{
		{"node-down 3", ""},
		{"node-down 1 2", ""},
		{"node-down", "NODE is missing"},
		{"node-down 4", `NODE "4" is not a whole number from 1 to 3`},
		{"node-down 0", "not a whole number"},
		{"node-down 01", "not a whole number"},
		{"partition 1 2,3", ""},
		{"partition 1,2 2,3", "node 2 is in two groups"},
		{"partition , 2", "names no node"},
		{"partition 1 x", `node "x" is not`},
		{"link-down 1 2", ""},
		{"link-down 1 3", `LINK "3"`},
		{"link-down 1", "LINK is missing"},
		{"link-down 1 0 5", `"5" is too much`},
		{"link-delay 1 0 2.5", ""},
		{"link-delay 1 0 20 5", ""},
		{"link-delay 1 0 -1", `MS "-1"`},
		{"link-delay 1 0 NaN", `MS "NaN"`},
		{"link-loss 1 0 100", ""},
		{"link-loss 1 0 101", `PERCENT "101"`},
		{"wait-for-all", ""},
		{"wait-for-all 1", "too much"},
		{"expected-votes 1", ""},
		{"no-such-fault 1", "is unknown (one of: node-down, "},
	} {
		t.Run(test.line, func(t *testing.T) {
			words := strings.Fields(test.line)
			f, err := findFault(words[0])
			if err == nil {
				err = checkArgs(f, words[1:], 3)
			}
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !errors.Is(err, ErrUsage)):
				t.Errorf("error %v, not %q", err, test.want)
			}
		})
	}
}

func TestEveryFaultCanBeMadeHealedAndExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Faults() {
		if f.Inject == nil || f.Heal == nil || f.Help == "" || strings.Contains(f.Name, " ") || seen[f.Name] {
			t.Errorf("fault %q is not complete or there twice", f.Name)
		}
		seen[f.Name] = true
	}
}

// A process is known by pid, start time and boot; a signal must not reach one that only has the pid.
func TestReusedPidIsNotSignalled(t *testing.T) {
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	real, err := identify(sleep.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	earlier, otherBoot := real, real
	earlier.Start--
	otherBoot.Boot = "another"
	for name, id := range map[string]identity{"earlier process": earlier, "process of another boot": otherBoot, "no process": {}} {
		if id.alive() {
			t.Errorf("%s counts as alive", name)
		}
		if err := id.signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("%s: signal: %v", name, err)
		}
		if err := id.stop(t.Context(), syscall.SIGKILL); err != nil {
			t.Errorf("%s: stop: %v", name, err)
		}
	}
	if !real.alive() {
		t.Fatal("the process that has the pid now was killed")
	}
	if err := real.stop(t.Context(), syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if real.alive() { // nobody has waited for it: it is a zombie
		t.Error("a zombie counts as alive")
	}
}

func TestStopKillsWhatIgnoresOrCannotHearTheSignal(t *testing.T) {
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	id, err := identify(sleep.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := id.stop(t.Context(), syscall.SIGTERM); err != nil || id.alive() {
		t.Errorf("a halted process: alive %t, %v", id.alive(), err)
	}
}

func TestExpectedMembers(t *testing.T) {
	for _, test := range []struct {
		faults string
		want   map[int][]int
	}{
		{"", map[int][]int{1: {1, 2, 3}, 2: {1, 2, 3}, 3: {1, 2, 3}}},
		{"node-down 3", map[int][]int{1: {1, 2}, 2: {1, 2}}},
		{"corosync-stop 1; corosync-hang 2", map[int][]int{3: {3}}},
		{"wait-for-all", map[int][]int{1: {1, 2}, 2: {1, 2}}},
		{"link-down 3 0", map[int][]int{1: {1, 2, 3}, 2: {1, 2, 3}, 3: {1, 2, 3}}},
		{"link-down 3 0; link-down 3 1", map[int][]int{1: {1, 2}, 2: {1, 2}, 3: {3}}},
		{"link-down 3 2", map[int][]int{1: {1, 2, 3}, 2: {1, 2, 3}, 3: {1, 2, 3}}},
		{"partition 1 2,3", map[int][]int{1: {1}, 2: {2, 3}, 3: {2, 3}}},
		{"partition 2", map[int][]int{1: {1, 3}, 2: {2}, 3: {1, 3}}},
		{"partition-links 1; partition 2", map[int][]int{1: {1}, 2: {2}, 3: {3}}},
		{"partition 1; node-down 2", map[int][]int{1: {1}, 3: {3}}},
	} {
		t.Run(test.faults, func(t *testing.T) {
			if diff := cmp.Diff(test.want, expectedMembers([]int{1, 2, 3}, faultsOf(test.faults))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func faultsOf(text string) []ActiveFault {
	var faults []ActiveFault
	for _, line := range strings.Split(text, ";") {
		if words := strings.Fields(line); len(words) > 0 {
			faults = append(faults, ActiveFault{Name: words[0], Args: words[1:]})
		}
	}
	return faults
}

func TestRewiring(t *testing.T) {
	whole := map[string]netInterface{"br0": {Name: "br0"}, "br2": {Name: "br2"}}
	for node := 1; node <= 3; node++ {
		for _, network := range []int{0, 2} {
			name := port{node, network}.name()
			whole[name] = netInterface{Name: name, Master: bridgeName(network, 0), Flags: []string{"UP"}}
		}
	}
	changed := func(changes ...netInterface) map[string]netInterface {
		have := map[string]netInterface{}
		for name, i := range whole {
			have[name] = i
		}
		for _, i := range changes {
			have[i.Name] = i
		}
		return have
	}
	for name, test := range map[string]struct {
		faults string
		have   map[string]netInterface
		want   []string
	}{
		"nothing to do": {"", whole, nil},
		"node down":     {"node-down 3", whole, []string{"link set p3n0 down", "link set p3n2 down"}},
		"storage only":  {"link-down 1 2", whole, []string{"link set p1n2 down"}},
		"links only":    {"partition-links 1", whole, append(makeBridge("br0g1"), "link set p2n0 master br0g1", "link set p3n0 master br0g1")},
		"box": {"link-loss 2 0 10", whole, []string{"link set p2n0 nomaster", "link add x2n0 type veth peer name y2n0",
			"link set x2n0 up", "link set y2n0 up", "link set y2n0 master br0"}},
		"healed": {"", changed(
			netInterface{Name: "br0g1"},
			netInterface{Name: "p1n0", Master: "br0", Flags: nil},
			netInterface{Name: "p2n0", Flags: []string{"UP"}},
			netInterface{Name: "y2n0", Master: "br0g1", Flags: []string{"UP"}},
		), []string{"link set p1n0 up", "link delete y2n0", "link set p2n0 master br0", "link delete br0g1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := rewiring(wantedCabling([]int{1, 2, 3}, []int{0, 2}, faultsOf(test.faults)), test.have)
			if diff := cmp.Diff(test.want, got); len(got)+len(test.want) > 0 && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFaultsOfOneLinkAddUp(t *testing.T) {
	c := wantedCabling([]int{1}, []int{0}, faultsOf("link-delay 1 0 10 2; link-loss 1 0 50; link-delay 1 0 5; link-loss 1 0 50"))
	want := boxSettings{DelayMS: 15, JitterMS: 2, LossPercent: 75}
	if got := c.box[port{1, 0}]; got != want {
		t.Errorf("box %+v, not %+v", got, want)
	}
}

func TestDirectoriesThatAreNoLabsAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLab(Options{Dir: dir})
	if err := l.claim(); err == nil || !strings.Contains(err.Error(), "not empty and no lab's") {
		t.Errorf("claim: %v", err)
	}
	if err := Remove(t.Context(), dir, nil); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a foreign file was removed: %v", err)
	}
	if _, err := Open(dir, nil); !errors.Is(err, ErrNoLab) {
		t.Errorf("Open: %v", err)
	}
	for _, bad := range []string{"/", "/run/lab", "/var/tmp", "/dev/shm/lab", "/etc/corosync"} {
		if _, err := absolute(bad); err == nil {
			t.Errorf("%s is accepted as a lab's directory", bad)
		}
	}
}

func TestLockKeepsOthersOutUntilItIsReleased(t *testing.T) {
	l := newLab(Options{Dir: filepath.Join(t.TempDir(), "lab"), Nodes: 1})
	if err := l.claim(); err != nil {
		t.Fatal(err)
	}
	if err := l.claim(); err == nil || !strings.Contains(err.Error(), "holds a lab already") {
		t.Errorf("a second claim: %v", err)
	}
	unlock, err := l.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.lock(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	unlock, err = l.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := removeDir(l.Dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.lock(t.Context()); !errors.Is(err, ErrNoLab) {
		t.Errorf("lock of a lab that is gone: %v", err)
	}
}

func TestNamesOfLabsDiffer(t *testing.T) {
	a, b := namesOf("/var/tmp/a"), namesOf("/var/tmp/b")
	if a.node(1) == b.node(1) || a.node(1) == a.node(2) || a.node(1) == a.switches() {
		t.Errorf("names clash: %s %s %s %s", a.node(1), b.node(1), a.node(2), a.switches())
	}
}
