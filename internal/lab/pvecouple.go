package lab

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// couple makes Proxmox VE what the lab is now: which nodes have power, who reaches whom, and whom
// each node's corosync hears.
func (s *pveServer) couple() error {
	nodes, faults := s.l.Nodes(), s.l.inEffect()
	s.c.Partition(apiGroups(nodes, faults)...)
	up := s.l.withoutDown(nodes)
	errs := []error{s.strike(faults)}
	for _, node := range nodes {
		view, err := s.view(node)
		errs = append(errs, err,
			s.c.SetNodeDown(node, !slices.Contains(up, node)), // also boots one that its watchdog has reset
			s.c.SetMembership(node, view.members, view.quorate))
	}
	return errors.Join(append(errs, s.coupleVMs())...)
}

// coupleVMs says which real VMs run, and where.
func (s *pveServer) coupleVMs() error {
	vms, err := s.l.VMs()
	errs := []error{err}
	for _, vm := range vms {
		if at, _ := s.c.GuestNode(vm.ID); at != "" { // else it is about to get its configuration
			errs = append(errs, s.c.SetGuestProcess(vm.ID, vm.Node, s.l.Pid(vm.Node, vmDaemon(vm.ID))))
		}
	}
	return errors.Join(errs...)
}

// apiGroups are the nodes that reach each other in the network of the API, which is link 0.
func apiGroups(nodes []int, faults []ActiveFault) [][]int {
	c := wantedCabling(nodes, []int{Link0}, faults)
	sides := map[string]int{}
	var groups [][]int
	for _, node := range nodes {
		p := port{node, Link0}
		i, known := sides[c.bridge[p]]
		if c.down[p] || !known {
			i = len(groups)
			groups = append(groups, nil)
		}
		if !c.down[p] {
			sides[c.bridge[p]] = i
		}
		groups[i] = append(groups[i], node)
	}
	return groups
}

// view is what a node knows of the cluster. Without a corosync that answers that is itself.
func (s *pveServer) view(node int) (membership, error) {
	alone := membership{members: []int{node}}
	log := s.corosys[node]
	r, err := s.l.record(node, corosyncName)
	if errors.Is(err, fs.ErrNotExist) {
		return alone, nil
	}
	if err != nil || !r.alive() {
		return alone, errors.Join(err, log.forget())
	}
	if err := log.read(); err != nil || len(log.view.members) == 0 {
		return alone, err
	}
	if _, state, err := processStart(r.Pid); err != nil || state == 'T' {
		return alone, nil // ended just now, or hung
	}
	return log.view, nil
}

// membership is what corosync tells pmxcfs.
type membership struct {
	members []int
	quorate bool
}

// corosyncLog follows a corosync's log. It tells membership and quorum at the moment when they
// change and costs corosync nothing, whose tools take real-time CPU from it.
type corosyncLog struct {
	path   string
	offset int64  // of what has not been read
	rest   string // of a line without its end
	view   membership
}

// read takes in what was logged since the last time.
func (c *corosyncLog) read() error {
	file, err := os.Open(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has not said a word
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(c.offset, io.SeekStart); err != nil {
		return err
	}
	text, err := io.ReadAll(file)
	c.offset += int64(len(text))
	lines := c.rest + string(text)
	end := strings.LastIndexByte(lines, '\n') + 1
	c.rest = lines[end:]
	c.view = parseMembership(c.view, lines[:end])
	return err
}

// forget drops what a dead corosync said.
func (c *corosyncLog) forget() error {
	info, err := os.Stat(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c.offset, c.rest, c.view = info.Size(), "", membership{}
	return nil
}

// The lines of corosync 3.1's exec/vsf_quorum.c and exec/main.c.
var corosyncSays = regexp.MustCompile(`\[(?:MAIN|QUORUM) *\] (?:(Corosync Cluster Engine .*starting up)|Members\[\d+\]:((?: \d+)*)|This node is within the (non-)?primary component)`)

// parseMembership is what was known before and after some lines of corosync's log.
func parseMembership(v membership, lines string) membership {
	for line := range strings.Lines(lines) {
		m := corosyncSays.FindStringSubmatch(line)
		switch {
		case m == nil:
		case m[1] != "":
			v = membership{}
		case strings.Contains(m[0], "Members["):
			v.members = numbers(strings.Fields(m[2]))
			slices.Sort(v.members)
		default:
			v.quorate = m[3] == ""
		}
	}
	return v
}
