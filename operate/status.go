package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/living"
)

// A Status is how a cluster is now. What could not be read is absent, and Unknown says so.
type Status struct {
	At      time.Time `json:"at"`
	Cluster string    `json:"cluster"`
	// Problems are what is wrong, a sentence each, the worst first; none means that all is well.
	Problems []string `json:"problems"`
	Unknown  []string `json:"unknown,omitempty"`

	Voices []Voice `json:"voices"` // of the nodes of the file
	// What follows is told by one node that sees quorum; without quorum the others have old news only.
	ToldBy string       `json:"toldBy,omitempty"`
	Votes  *StatusVotes `json:"votes,omitempty"`
	Nodes  []StatusNode `json:"nodes,omitempty"`
	HA     *StatusHA    `json:"ha,omitempty"`
	Ceph   *StatusCeph  `json:"ceph,omitempty"`
	Locked []string     `json:"lockedGuests,omitempty"`
	// Running are tasks that have not ended, Failed those of the last 24 hours that did not end well.
	Running []StatusTask `json:"runningTasks,omitempty"`
	Failed  []StatusTask `json:"failedTasks,omitempty"`
	accept  []string
	// Losses say for each node whether the cluster can bear that it fails next.
	Losses []Loss `json:"losses,omitempty"`
}

// A Voice is what one node says of itself and of whom it hears.
type Voice struct {
	Node    string   `json:"node"`
	API     bool     `json:"api"`             // it answers
	SSH     bool     `json:"ssh,omitempty"`   // asked only where the API does not answer
	Error   string   `json:"error,omitempty"` // of the API
	Quorate *bool    `json:"quorate,omitempty"`
	Hears   []string `json:"hears,omitempty"`
	Guests  *int     `json:"runningGuests,omitempty"` // on it, asked only without quorum
	view    living.View
	err     error
}

// StatusVotes are those of the cluster.
type StatusVotes struct {
	Present  int  `json:"present"`
	Expected int  `json:"expected"`
	Majority int  `json:"majority"`
	QDevice  bool `json:"qdevice"`
}

// A StatusNode is one node as the cluster sees it.
type StatusNode struct {
	Name          string `json:"name"`
	Online        bool   `json:"online"`
	HA            string `json:"ha,omitempty"`
	UptimeSeconds int64  `json:"uptimeSeconds"`
	MemoryBytes   int64  `json:"memoryBytes"`
	MemoryUsed    int64  `json:"memoryUsedBytes"`
	Guests        int    `json:"guests"`
	Running       int    `json:"runningGuests"`
}

// A StatusHA is the HA manager's word.
type StatusHA struct {
	Master   string   `json:"master,omitempty"`
	Arming   string   `json:"arming"`
	Services int      `json:"services"`
	Amiss    []string `json:"amiss,omitempty"` // services that are not as was asked, a sentence each
}

// A StatusCeph is the part of ceph status that one screen has room for.
type StatusCeph struct {
	Health   string        `json:"health"`
	Checks   []StatusCheck `json:"checks,omitempty"`
	Quorum   []string      `json:"monitorsInQuorum"`
	Monitors int           `json:"monitors"`
	OSDs     int           `json:"osds"`
	Up       int           `json:"osdsUp"`
	In       int           `json:"osdsIn"`
	PGs      int           `json:"pgs"`
	Unclean  int           `json:"pgsNotClean"`
	States   []string      `json:"pgStatesNotClean,omitempty"`
	Flags    []string      `json:"flags,omitempty"`
}

// A StatusCheck is a health check of Ceph that is raised.
type StatusCheck struct {
	Code    string `json:"code"`
	Summary string `json:"summary"`
	Muted   bool   `json:"muted,omitempty"`
}

// A StatusTask is a task of Proxmox VE.
type StatusTask struct {
	UPID   string    `json:"upid"`
	Node   string    `json:"node"`
	Type   string    `json:"type"`
	ID     string    `json:"id,omitempty"`
	Start  time.Time `json:"start"`
	Status string    `json:"status,omitempty"` // "" while it runs
}

// A Loss is what the failure of one node would mean.
type Loss struct {
	Node     string   `json:"node"`
	Bearable bool     `json:"bearable"`
	Reasons  []string `json:"reasons,omitempty"` // why not
}

// OK implements Report.
func (s *Status) OK() bool { return len(s.Problems)+len(s.Unknown) == 0 }

// How long one node, and one question about the cluster, may take. A status is wanted at once.
const (
	voiceLimit = 10 * time.Second
	readLimit  = 20 * time.Second
)

// Status looks at everything, and tells what it can if not all of it can be read. It fails only if no node
// answers at all, or if the nodes are of another cluster. Health checks of Ceph in accept are shown, and are no
// problem.
func (c *Cluster) Status(ctx context.Context, accept ...string) (*Status, error) {
	r := &Status{At: c.Clock.Now(), Cluster: c.Name, Voices: c.voices(ctx), accept: accept}
	if err := c.heard(ctx, r.Voices); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(r.Voices, func(v Voice) bool { return v.ours(c.Name) && v.view.Quorate })
	if i < 0 {
		c.withoutQuorum(ctx, r)
		return r, ctx.Err()
	}
	r.ToldBy = r.Voices[i].Node
	s := State{At: r.At, Members: r.Voices[i].view}
	for _, part := range []struct {
		what string
		read func(context.Context, *State) error
		show func(State, *Status)
	}{
		{"votes", c.readVotes, showVotes},
		{"the HA manager", c.readHA, showHA},
		{"nodes and guests", c.readResources, showNodes},
		{"Ceph", c.readCeph, showCeph},
		{"tasks", r.readTasks(c), nil},
	} {
		err := within(ctx, readLimit, func(ctx context.Context) error { return part.read(ctx, &s) })
		switch {
		case err != nil:
			r.Unknown = append(r.Unknown, fmt.Sprintf("%s: %v", part.what, err))
		case part.show != nil:
			part.show(s, r)
		}
	}
	r.silentNodes()
	if len(r.Unknown) == 0 {
		c.showLosses(ctx, s, r)
	}
	return r, ctx.Err()
}

func within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return do(ctx)
}

// voices asks all nodes at the same time: some may not answer, and nobody wants to wait for one after the other.
func (c *Cluster) voices(ctx context.Context) []Voice {
	out := make([]Voice, len(c.Names))
	var wg sync.WaitGroup
	for i, n := range c.Names {
		wg.Go(func() { out[i] = c.voice(ctx, n) })
	}
	wg.Wait()
	return out
}

func (c *Cluster) voice(ctx context.Context, node string) Voice {
	v := Voice{Node: node}
	v.err = within(ctx, voiceLimit, func(ctx context.Context) (err error) {
		v.view, err = living.ReadView(ctx, c.Nodes, node)
		return err
	})
	if v.err == nil {
		v.API, v.Quorate = true, &v.view.Quorate
		for _, m := range v.view.Members {
			if m.Online {
				v.Hears = append(v.Hears, m.Name)
			}
		}
		slices.Sort(v.Hears)
		return v
	}
	v.Error = v.err.Error()
	err := within(ctx, voiceLimit, func(ctx context.Context) error {
		quorate, err := c.pvecmStatus(ctx, node)
		v.SSH, v.Quorate = err == nil, quorate
		return err
	})
	if err != nil {
		v.err = errors.Join(v.err, err)
	}
	return v
}

// heard fails if there is nobody of this cluster to ask.
func (c *Cluster) heard(ctx context.Context, voices []Voice) error {
	var errs []error
	for _, v := range voices {
		switch {
		case v.ours(c.Name), v.SSH:
			return ctx.Err()
		case v.API:
			errs = append(errs, fmt.Errorf("not cluster %q of the file: %s is in %q (\"\" is none)", c.Name, v.Node, v.view.Name))
		default:
			errs = append(errs, fmt.Errorf("%s: %w", v.Node, v.err))
		}
	}
	return errors.Join(errs...)
}

// ours says whether it is the voice of a member of the cluster.
func (v Voice) ours(name string) bool { return v.API && v.view.Name == name }

// withoutQuorum tells what the nodes that answer know of themselves. What they say of HA and of each other is
// as it was when quorum was lost.
func (c *Cluster) withoutQuorum(ctx context.Context, r *Status) {
	problem := "no node that answers sees quorum: guests run on, and nothing can be changed or started"
	for _, v := range r.Voices {
		if v.Quorate != nil && *v.Quorate {
			problem = "no API of a node that sees quorum answers; " + v.Node + " sees it, as SSH says"
		}
	}
	r.Problems = append(r.Problems, problem)
	r.silentNodes()
	ceph := false
	for i := range r.Voices {
		v := &r.Voices[i]
		if !v.ours(r.Cluster) {
			continue
		}
		err := within(ctx, voiceLimit, func(ctx context.Context) error {
			guests, err := c.runningOn(ctx, v.Node, v.Node)
			if n := len(guests); err == nil {
				v.Guests = &n
			}
			return err
		})
		if err != nil {
			r.Unknown = append(r.Unknown, fmt.Sprintf("guests of %s: %v", v.Node, err))
		}
		if ceph {
			continue
		}
		s := State{Members: living.View{Node: v.Node}}
		if err := within(ctx, readLimit, func(ctx context.Context) error { return c.readCeph(ctx, &s) }); err != nil {
			r.Unknown = append(r.Unknown, fmt.Sprintf("Ceph, asked at %s: %v", v.Node, err))
			continue
		}
		showCeph(s, r)
		ceph = true
	}
}

// silentNodes are a problem of their own where the cluster still counts them as online, or cannot tell.
func (r *Status) silentNodes() {
	for _, v := range r.Voices {
		offline := slices.ContainsFunc(r.Nodes, func(n StatusNode) bool { return n.Name == v.Node && !n.Online })
		switch {
		case v.API && v.view.Name != r.Cluster:
			r.Problems = append(r.Problems, fmt.Sprintf("%s is in cluster %q (\"\" is none)", v.Node, v.view.Name))
		case v.API && r.ToldBy != "" && !v.view.Quorate:
			r.Problems = append(r.Problems, fmt.Sprintf("%s sees no quorum, only %s; %s does", v.Node, strings.Join(v.Hears, ", "), r.ToldBy))
		case v.API || offline:
		case v.SSH:
			r.Problems = append(r.Problems, fmt.Sprintf("the API of %s does not answer, though SSH does (`systemctl status pveproxy pvedaemon` there)", v.Node))
		default:
			r.Problems = append(r.Problems, v.Node+" does not answer, neither its API nor SSH")
		}
	}
}

func showVotes(s State, r *Status) {
	v := s.Votes
	r.Votes = &StatusVotes{v.Present, v.Expected, v.Majority(), v.QDevice}
	if v.Present < v.Expected {
		r.Problems = append(r.Problems, fmt.Sprintf("%d of %d votes are there, and %d are needed", v.Present, v.Expected, v.Majority()))
	}
}

func showNodes(s State, r *Status) {
	for _, n := range s.Nodes {
		row := StatusNode{Name: n.Name, Online: n.Online, HA: n.HA, UptimeSeconds: int64(n.Uptime.Seconds()), MemoryBytes: n.Memory, MemoryUsed: n.MemoryUsed, Running: len(s.running(n.Name))}
		for _, g := range s.Guests {
			if g.Node == n.Name {
				row.Guests++
			}
		}
		r.Nodes = append(r.Nodes, row)
		switch {
		case !n.Online:
			r.Problems = append(r.Problems, n.Name+" is offline")
		case n.HA == pve.HANodeMaintenance:
			r.Problems = append(r.Problems, n.Name+" is in maintenance")
		case !n.takes():
			r.Problems = append(r.Problems, fmt.Sprintf("the HA manager says %q of %s", n.HA, n.Name))
		}
	}
	for _, g := range s.Guests {
		if g.Lock != "" {
			r.Locked = append(r.Locked, fmt.Sprintf("%s (%s)", g.SID(), g.Lock))
		}
	}
}

func showHA(s State, r *Status) {
	r.HA = &StatusHA{Master: s.HA.Master, Arming: s.HA.Arming, Services: len(s.HA.Services)}
	for _, v := range s.HA.Services {
		if why := amiss(v); why != "" {
			r.HA.Amiss = append(r.HA.Amiss, why)
		}
	}
	switch {
	case s.HA.Arming == pve.HADisarmed || s.HA.Arming == pve.HADisarming:
		r.Problems = append(r.Problems, "HA is "+s.HA.Arming+": nothing fails over")
	case s.HA.Master == "" && len(s.HA.Services) > 0:
		r.Problems = append(r.Problems, "HA has no master: nothing fails over")
	}
	if n := len(r.HA.Amiss); n > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("%d of %d HA services are not as they should be", n, len(s.HA.Services)))
	}
}

// amiss says how a service is not what was asked for, "" if it is.
func amiss(v pve.HAService) string {
	want := map[string]string{"started": pve.HAServiceStarted, "stopped": pve.HAServiceStopped, "disabled": pve.HAServiceStopped}[v.Requested]
	switch {
	case want == "" || v.State == want && (want != pve.HAServiceStarted || v.Running):
		return ""
	case !v.Known:
		return fmt.Sprintf("%s should be %s, and the HA manager does not know it yet", v.SID, v.Requested)
	case v.State == pve.HAServiceStarted:
		return fmt.Sprintf("%s is starting on %s", v.SID, v.Node)
	}
	return fmt.Sprintf("%s should be %s, and is in state %s on %s", v.SID, v.Requested, v.State, v.Node)
}

func showCeph(s State, r *Status) {
	if s.Ceph == nil {
		return
	}
	c := s.Ceph
	v := &StatusCeph{Health: c.Health.Status, Quorum: c.Quorum, Monitors: c.Monitors(), OSDs: c.OSDMap.Num, Up: c.OSDMap.Up, In: c.OSDMap.In, PGs: c.PGMap.Num, Flags: s.Flags}
	v.Unclean, v.States = c.Dirty()
	for code, check := range c.Health.Checks {
		v.Checks = append(v.Checks, StatusCheck{code, check.Summary.Message, check.Muted.V})
	}
	slices.SortFunc(v.Checks, func(a, b StatusCheck) int { return strings.Compare(a.Code, b.Code) })
	r.Ceph = v
	bad := slices.DeleteFunc(c.Codes(), func(code string) bool { return slices.Contains(r.accept, code) })
	if v.Health != "HEALTH_OK" && len(bad) > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("Ceph is %s: %s", v.Health, strings.Join(bad, ", ")))
	} else if v.Unclean > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("%d of %d placement groups are not active and clean", v.Unclean, v.PGs))
	}
}

// showLosses asks of each node whether it may fail next.
func (c *Cluster) showLosses(ctx context.Context, s State, r *Status) {
	no := 0
	for _, n := range s.Nodes {
		if !n.Online {
			continue
		}
		var reasons []string
		err := within(ctx, readLimit, func(ctx context.Context) (err error) {
			reasons, err = c.MayLose(ctx, s, n.Name, r.accept...)
			return err
		})
		if err != nil {
			r.Unknown = append(r.Unknown, fmt.Sprintf("whether %s may fail: %v", n.Name, err))
			continue
		}
		r.Losses = append(r.Losses, Loss{n.Name, len(reasons) == 0, reasons})
		no += len(reasons)
	}
	if no > 0 && len(r.Problems) == 0 { // else it is what follows from them
		r.Problems = append(r.Problems, "not every node can be lost")
	}
}
