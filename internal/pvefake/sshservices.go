package pvefake

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// serviceCommands change what runs on a machine.
func serviceCommands() []sshCommand {
	ok := func(*invocation) output { return output{} }
	return []sshCommand{
		{"systemctl is-active", isActive},
		{"systemctl show", func(v *invocation) output { return output{stdout: "ActiveState=active\n"} }},
		{"systemctl daemon-reload", ok},
		{"systemctl enable", enableUnit},
		{"systemctl disable", ok},
		{"systemctl start", startUnits},
		{"systemctl restart", ok},
		{"systemctl reload", ok},
		{"systemctl stop", stopUnits},
		{"systemd-run", runLater},
		{"pmxcfs -l", ok},
		{"killall pmxcfs", ok},
		{"ifreload -a", func(v *invocation) output { v.n.box.activate(); return output{} }},
		{"apt-get", aptGet},
		{"reboot", func(v *invocation) output { return v.n.shutDown(true) }},
		{"systemctl reboot", func(v *invocation) output { return v.n.shutDown(true) }},
		{"poweroff", func(v *invocation) output { return v.n.shutDown(false) }},
		{"systemctl poweroff", func(v *invocation) output { return v.n.shutDown(false) }},
		{"sysrq b", func(v *invocation) output { v.n.goDown(true); return output{cut: true} }},
	}
}

func (n *node) shutDown(reboot bool) output {
	n.c.later(3*time.Second, func() { n.goDown(reboot) })
	return output{}
}

// unitsOf are the units that a node runs, beside those that were enabled.
func (n *node) unitRuns(name string) bool {
	name = strings.TrimSuffix(name, ".service")
	if strings.HasSuffix(name, ".timer") {
		_, armed := n.box.timers[strings.TrimSuffix(name, ".timer")]
		return armed
	}
	if n.box.enabled[name] {
		return true
	}
	return slices.Contains(unitNames, "+"+name)
}

func isActive(v *invocation) output {
	state, exit := "active", 0
	for _, u := range v.args {
		if !strings.HasPrefix(u, "-") && !v.n.unitRuns(u) {
			state, exit = "inactive", 3
		}
	}
	return output{stdout: state + "\n", exit: exit}
}

func enableUnit(v *invocation) output {
	for _, u := range v.args {
		if !strings.HasPrefix(u, "-") {
			v.n.box.enabled[strings.TrimSuffix(u, ".service")] = true
		}
	}
	return output{}
}

// startUnits: starting pve-cluster after a failed join brings the node back on its own.
func startUnits(v *invocation) output {
	n := v.n
	if slices.Contains(v.args, "pve-cluster") && n.locked && !n.listed {
		n.c.makeAlone(n)
		n.locked, n.apiDown, n.stale = false, false, false
		if err := n.startListening(); err != nil {
			return failed(1, "%v", err)
		}
	}
	for _, u := range v.args {
		n.box.enabled[strings.TrimSuffix(u, ".service")] = true
	}
	return output{}
}

func stopUnits(v *invocation) output {
	for _, u := range v.args {
		if name, ok := strings.CutSuffix(u, ".timer"); ok {
			if _, armed := v.n.box.timers[name]; !armed {
				return failed(5, "Failed to stop %s: Unit %s not loaded.", u, u)
			}
			delete(v.n.box.timers, name)
		}
		delete(v.n.box.enabled, strings.TrimSuffix(u, ".service"))
	}
	return output{}
}

// runLater is systemd-run --unit=NAME --on-active=SECONDS COMMAND: what it runs must be a copy of the
// network configuration back and ifreload.
func runLater(v *invocation) output {
	n, name := v.n, v.flagValue("--unit")
	seconds := numberOr(strings.TrimSuffix(v.flagValue("--on-active"), "s"), 0)
	script := v.args[len(v.args)-1]
	if name == "" || seconds == 0 || !strings.Contains(script, "ifreload -a") {
		return n.unknownCommand("systemd-run "+strings.Join(v.args, " "), nil)
	}
	if _, armed := n.box.timers[name]; armed {
		return failed(1, "Failed to start transient timer unit: Unit %s.timer was already loaded or has a fragment file.", name)
	}
	n.c.nextPID++
	mine := n.c.nextPID
	n.box.timers[name] = mine
	n.c.later(time.Duration(seconds)*time.Second, func() {
		if n.box.timers[name] != mine || !n.up {
			return
		}
		delete(n.box.timers, name)
		n.box.staged = n.box.kept
		n.box.activate()
	})
	return output{}
}

// aptGet installs or upgrades; without -y and a yes it aborts as apt does.
func aptGet(v *invocation) output {
	args := strings.Join(v.args, " ")
	agreed := slices.Contains(v.args, "-y") || strings.HasPrefix(v.stdin, "y")
	switch {
	case strings.HasSuffix(args, "update"):
		return output{}
	case !agreed:
		return failed(1, "Do you want to continue? [Y/n] Abort.")
	case slices.Contains(v.args, "dist-upgrade"):
		v.n.box.upgraded = true
		return output{stdout: "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n"}
	}
	i := slices.Index(v.args, "install")
	if i < 0 {
		return v.n.unknownCommand("apt-get "+args, nil)
	}
	if v.n.box.spec.Packages == nil {
		v.n.box.spec.Packages = map[string]string{}
	} else {
		v.n.box.spec.Packages = maps.Clone(v.n.box.spec.Packages)
	}
	for _, name := range v.args[i+1:] {
		if !strings.HasPrefix(name, "-") && v.n.packages()[name] == "" {
			v.n.box.spec.Packages[name] = "1.0-" + strconv.Itoa(len(name))
		}
	}
	return output{}
}
