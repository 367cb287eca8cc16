package pvefake

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Cluster is the fake. Its methods are safe for concurrent use.
type Cluster struct {
	opt     Options
	methods *methodTable
	pki     *pki

	mu      sync.Mutex
	now     time.Time // the simulation's time
	started time.Time
	rnd     *rand.Rand
	nodes   []*node
	live    *cfs              // what a quorate partition sees and writes
	run     map[int]*guestRun // by VMID: the truth about processes, whatever a node believes
	tasks   []*task           // oldest first
	log     []logEntry
	auth    *authState
	rules   []*Rule
	held    map[string]bool // task types that do not end by themselves
	failing map[string]bool // sids whose start fails
	calls   []Call
	nextPID int
	logUID  int
	walking bool                 // Start was called
	half    map[int]map[int]bool // members a node believes in, set by HalfOpen
	wantsHA bool
	conf    string // corosync.conf, set by SetCorosyncConf
	ceph    *cephState
	joins   []*join
	soon    []deferred

	clustered        bool // there is a corosync.conf
	clusterName      string
	confVersion      int             // of corosync.conf
	tokenCoefficient string          // there
	qdevice          string          // address of the qnetd host, "" if there is none
	offline          map[string]bool // servers of network storages
	sshErrors        []string
	requests         int // API requests and SSH commands so far
	crash            crashPoint

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New builds a cluster whose nodes already listen. Close ends it.
func New(opt Options) (*Cluster, error) {
	if err := opt.fill(); err != nil {
		return nil, err
	}
	methods, err := parseMethods(methodFacts, opt.Version.major(), handlers())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cluster{
		opt: opt, methods: methods, now: opt.Start, started: opt.Start,
		rnd: rand.New(rand.NewPCG(opt.Seed, 0x9e3779b97f4a7c15)),
		run: map[int]*guestRun{}, held: map[string]bool{}, failing: map[string]bool{},
		half: map[int]map[int]bool{}, offline: map[string]bool{}, nextPID: 4100, ctx: ctx, cancel: cancel,
		clusterName: opt.ClusterName, clustered: !opt.Standalone && opt.Nodes > 1, confVersion: opt.Nodes, tokenCoefficient: "125",
	}
	if err := c.build(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) build() error {
	listeners, ips, err := c.listenAll()
	if err != nil {
		return err
	}
	names, shown := c.identities(ips)
	if c.pki, err = newPKI(names, ips, shown, c.opt.Start); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live, c.auth = newCFS(), newAuthState(c)
	for i, l := range listeners {
		n := &node{
			c: c, id: i + 1, name: names[i], ip: shown[i], addr: &net.TCPAddr{IP: ips[i], Port: l.Addr().(*net.TCPAddr).Port},
			up: true, booted: c.now.Add(-time.Hour), members: map[int]bool{}, seen: map[int]*sample{}, nodeID: i + 1, votes: 1,
		}
		n.box = c.newMachine(i, n)
		c.nodes = append(c.nodes, n)
		n.listen(l)
	}
	for i, n := range c.nodes {
		if c.opt.Standalone && i > 0 {
			c.makeAlone(n)
		}
	}
	for _, n := range c.nodes {
		for _, m := range n.mates() {
			n.members[m.id] = true
		}
		n.quorate = true
		n.viewSince = c.now
	}
	if c.opt.Ceph {
		c.enableCeph()
	}
	for _, g := range c.opt.Guests {
		if err := c.addGuest(g); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		c.sampleNode(n)
	}
	if c.opt.Standalone {
		return c.startSSH()
	}
	return nil
}

// identities are the nodes' names and the addresses the cluster says they have.
func (c *Cluster) identities(ips []net.IP) (names []string, shown []net.IP) {
	shown = append(shown, ips...)
	for i := range ips {
		name := fmt.Sprintf("%s%d", c.opt.NodePrefix, i+1)
		if i < len(c.opt.Machines) {
			m := c.opt.Machines[i]
			if m.Name != "" {
				name = m.Name
			}
			if ip, _, err := net.ParseCIDR(m.Address); err == nil {
				shown[i] = ip
			}
		}
		names = append(names, name)
	}
	return names, shown
}

// Start moves the cluster with the wall clock until ctx ends or Close is called. Delays of the server
// stay scaled by Options.DelayScale.
func (c *Cluster) Start(ctx context.Context) {
	c.mu.Lock()
	c.walking = true
	c.mu.Unlock()
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-c.ctx.Done():
				return
			case now := <-tick.C:
				step := now.Sub(last).Truncate(time.Second)
				last = last.Add(step)
				c.Advance(step)
			}
		}
	}()
}

// Close ends listeners, connections and the ticker, and waits for them.
func (c *Cluster) Close() {
	c.cancel()
	c.mu.Lock()
	for _, n := range c.nodes {
		n.stopListening()
		n.stopSSH()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// Advance moves the simulation by d, second by second.
func (c *Cluster) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; d >= time.Second; d -= time.Second {
		c.tick()
	}
}

// AdvanceUntil moves the simulation second by second until ok holds and returns the time that took.
// It fails when limit passes first.
func (c *Cluster) AdvanceUntil(limit time.Duration, ok func() bool) (time.Duration, error) {
	for d := time.Duration(0); d <= limit; d += time.Second {
		if ok() {
			return d, nil
		}
		c.Advance(time.Second)
	}
	return limit, errors.New("pvefake: the condition did not become true in " + limit.String())
}

// Now is the simulation's time.
func (c *Cluster) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// CAPEM is the certificate of the CA that signed every node's certificate.
func (c *Cluster) CAPEM() []byte { return c.pki.caPEM }

// Size is the number of nodes.
func (c *Cluster) Size() int { return len(c.nodes) }

// tick is one second of the whole cluster, in the order in which the real daemons would notice.
func (c *Cluster) tick() {
	c.now = c.now.Add(time.Second)
	c.tickDeferred()
	c.tickJoins()
	c.tickMembership()
	c.tickTasks()
	for _, n := range c.nodes {
		if n.running() && c.since(n.booted)%(10*time.Second) == time.Duration(n.id%10)*time.Second {
			c.sampleNode(n)
		}
	}
	c.tickReplicaOfSamples()
	for _, n := range c.nodes {
		c.tickLRM(n)
	}
	c.tickCRM()
}

// deferred is something that happens by itself later.
type deferred struct {
	at time.Time
	do func()
}

func (c *Cluster) later(d time.Duration, do func()) {
	c.soon = append(c.soon, deferred{c.now.Add(d), do})
}

func (c *Cluster) tickDeferred() {
	var due, left []deferred
	for _, d := range c.soon {
		if d.at.After(c.now) {
			left = append(left, d)
		} else {
			due = append(due, d)
		}
	}
	c.soon = left
	for _, d := range due {
		d.do()
	}
}

func (c *Cluster) since(t time.Time) time.Duration { return c.now.Sub(t) }

func (c *Cluster) unix() int64 { return c.now.Unix() }

// stamp is the time that tasks get: that of the simulation, but the wall clock's when it follows it.
// Its steps of a second come late, and what is compared with tasks has seen them end by then.
func (c *Cluster) stamp() int64 {
	if now := time.Now(); c.walking && now.Sub(c.now).Abs() < 10*time.Second {
		return now.Unix()
	}
	return c.unix()
}

func (c *Cluster) node(id int) *node {
	if id < 1 || id > len(c.nodes) {
		return nil
	}
	return c.nodes[id-1]
}

func (c *Cluster) nodeByName(name string) *node {
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}
