package pvefake

import (
	"slices"
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
		{"systemctl enable", enableUnits("enable")},
		{"systemctl reenable", enableUnits("reenable")},
		{"systemctl disable", ok},
		{"systemctl start", startUnits},
		{"systemctl restart", startUnits},
		{"systemctl reload", ok},
		{"systemctl stop", stopUnits},
		{"systemd-run", runLater},
		{"pmxcfs -l", ok},
		{"killall pmxcfs", ok},
		{"ifreload -a", func(v *invocation) output { v.n.box.activate(); return output{} }},
		{"apt-get", aptGet},
		{"dpkg --force-confold --configure -a", ok},
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

// hasUnit says whether systemd finds a unit: one that every node has, one that was written, or one that
// came with the package of its name.
func (n *node) hasUnit(name string) bool {
	name = strings.TrimSuffix(name, ".service")
	_, written := n.box.files["/etc/systemd/system/"+name+".service"]
	return written || n.box.enabled[name] || n.packages()[name] != "" ||
		slices.ContainsFunc(unitNames, func(u string) bool { return u[1:] == name })
}

// fullUnit is a unit's name with its kind.
func fullUnit(unit string) string {
	if strings.Contains(unit, ".") {
		return unit
	}
	return unit + ".service"
}

// enableUnits does not start them.
func enableUnits(verb string) func(*invocation) output {
	return func(v *invocation) output {
		for _, u := range v.args {
			if !strings.HasPrefix(u, "-") && !v.n.hasUnit(u) {
				return failed(1, "Failed to %s unit: Unit file %s does not exist.", verb, fullUnit(u))
			}
		}
		return output{}
	}
}

// startUnits: starting pve-cluster after a failed join brings the node back on its own.
func startUnits(v *invocation) output {
	n := v.n
	if len(v.args) == 1 && n.osdUnit(v.args[0], true) {
		return output{}
	}
	for _, u := range v.args {
		if !n.hasUnit(u) {
			return failed(5, "Failed to start %s: Unit %s not found.", fullUnit(u), fullUnit(u))
		}
	}
	if slices.Contains(v.args, "pve-cluster") && n.locked && !n.listed {
		n.c.makeAlone(n)
		n.locked, n.apiDown, n.stale = false, false, false
		if err := n.startListening(); err != nil {
			return failed(1, "%v", err)
		}
	}
	for _, u := range v.args {
		program, ok := n.programOf(u)
		if !ok {
			return failed(1, "Job for %[1]s failed because of unavailable resources or another system error.\n"+
				"See \"systemctl status %[1]s\" and \"journalctl -xeu %[1]s\" for details.", fullUnit(u))
		}
		name := strings.TrimSuffix(u, ".service")
		n.box.enabled[name], n.box.started[name] = true, program
	}
	return output{}
}

// programOf is what a unit runs now: the content of the program that its file names, or the version of
// the package that brought it. ok is false if there is no such program.
func (n *node) programOf(unit string) (program string, ok bool) {
	name := strings.TrimSuffix(unit, ".service")
	text, written := n.box.files["/etc/systemd/system/"+name+".service"]
	if !written {
		return n.packages()[name], true
	}
	for _, line := range strings.Split(text.content, "\n") {
		if command, is := strings.CutPrefix(line, "ExecStart="); is {
			path, _, _ := strings.Cut(command, " ")
			f, there := n.box.files[path]
			return f.content, there && f.mode == "0755"
		}
	}
	return "", false
}

// Runs returns what a unit of node i ran when it was last started: the content of a program that was put
// there, or the version of the package it came with. ok is false if it does not run.
func (c *Cluster) Runs(i int, unit string) (program string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	box := c.node(i).box
	return box.started[unit], box.enabled[unit]
}

func stopUnits(v *invocation) output {
	for _, u := range v.args {
		if v.n.osdUnit(u, false) {
			continue
		}
		if name, ok := strings.CutSuffix(u, ".timer"); ok {
			if _, armed := v.n.box.timers[name]; !armed {
				return failed(5, "Failed to stop %s: Unit %s not loaded.", u, u)
			}
			delete(v.n.box.timers, name)
		} else if !v.n.hasUnit(u) {
			return failed(5, "Failed to stop %s: Unit %s not loaded.", fullUnit(u), fullUnit(u))
		}
		delete(v.n.box.enabled, strings.TrimSuffix(u, ".service"))
	}
	return output{}
}

// runLater is systemd-run --unit=NAME --on-active=SECONDS COMMAND, of the commands of laterDoes.
func runLater(v *invocation) output {
	n, name := v.n, v.flagValue("--unit")
	seconds := numberOr(strings.TrimSuffix(v.flagValue("--on-active"), "s"), 0)
	do := n.laterDoes(v.args)
	if name == "" || seconds == 0 || do == nil {
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
		do()
	})
	return output{}
}
