package pvefake

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// node is one machine. Fields are guarded by Cluster.mu.
type node struct {
	c    *Cluster
	id   int
	name string
	ip   net.IP       // what the cluster says it has
	addr *net.TCPAddr // where it really listens
	box  *machine

	alone    *alone // its own pmxcfs while it is in no cluster and not the first
	listed   bool   // in corosync.conf
	listedAt time.Time
	nodeID   int            // in corosync.conf
	votes    int            // there
	links    map[int]string // there: link number to address
	locked   bool           // it is joining: nobody can log in
	silent   bool           // SilenceJoiner
	stale    bool           // a failed join left corosync.conf and authkey
	expected int            // votes, as somebody told it; 0: those of corosync.conf

	up      bool // powered and on the network
	apiDown bool // corosync runs, PVE's daemons do not
	booted  time.Time
	group   int   // partition; nodes of one group hear each other
	cut     bool  // rules of a rehearsal drop what corosync sends, on all links
	cutLink []int // or on some

	// The view corosync gives this node, and since when.
	members   map[int]bool
	quorate   bool
	viewSince time.Time
	lostAt    time.Time // when quorum was lost; zero while quorate
	steered   bool      // SetMembership says what it hears, not the topology
	pending   time.Time // when a change of the topology will be noticed; zero: none
	frozen    *cfs      // what a node without quorum still sees

	stats        *sample         // the last thing pvestatd sent
	seen         map[int]*sample // by sender: what this node has received
	mode         lrmMode         // asked for by SetMaintenance, Freeze
	lastOnline   time.Time       // when the master last saw it
	agentRenewed time.Time       // when its LRM last held its lock

	ssh     *sshServer
	sshAddr string // of its SSH server, "" until there is one
	l       net.Listener
	conns   map[net.Conn]bool
	connsMu sync.Mutex
}

// running says that PVE's daemons work on this node.
func (n *node) running() bool { return n.up && !n.apiDown }

// view is the state of pmxcfs as this node sees it.
func (n *node) view() *cfs {
	switch {
	case n.alone != nil:
		return n.alone.live
	case n.frozen != nil:
		return n.frozen
	}
	return n.c.live
}

// listenAll opens every node's socket and says which address it has.
func (c *Cluster) listenAll() ([]net.Listener, []net.IP, error) {
	if c.opt.Listen == nil {
		listeners, err := listenLoopback(c.opt.Nodes, c.opt.Port)
		ips := make([]net.IP, len(listeners))
		for i, l := range listeners {
			ips[i] = l.Addr().(*net.TCPAddr).IP
		}
		return listeners, ips, err
	}
	var got []net.Listener
	for i := range c.opt.Nodes {
		l, err := c.opt.Listen(i + 1)
		if err != nil {
			for _, l := range got {
				_ = l.Close() // nobody has used it yet
			}
			return nil, nil, fmt.Errorf("pvefake: node %d cannot listen: %w", i+1, err)
		}
		got = append(got, l)
	}
	return got, c.opt.Addresses, nil
}

// listenLoopback binds every node to port on loopback addresses of its own, so that a dead node's address
// refuses connections and nobody else takes its port meanwhile.
func listenLoopback(nodes, port int) ([]net.Listener, error) {
	var last error
	for range 20 {
		subnet := fmt.Sprintf("127.%d.%d", 10+rand.IntN(200), 1+rand.IntN(250))
		var got []net.Listener
		for i := range nodes {
			l, err := net.Listen("tcp4", fmt.Sprintf("%s.%d:%d", subnet, i+1, port))
			if err != nil {
				last = err
				break
			}
			got = append(got, l)
		}
		if len(got) == nodes {
			return got, nil
		}
		for _, l := range got {
			_ = l.Close() // nobody has used it yet
		}
	}
	return nil, fmt.Errorf("pvefake: no free loopback addresses for %d nodes on port %d: %w", nodes, port, last)
}

// listen serves l until stopListening. Callers hold Cluster.mu.
func (n *node) listen(l net.Listener) {
	cert := n.c.pki.nodes[n.id-1].tls
	// pveproxy speaks HTTP/1.1 only.
	n.l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	n.connsMu.Lock()
	n.conns = map[net.Conn]bool{}
	n.connsMu.Unlock()
	n.c.wg.Add(1)
	go n.accept(n.l)
}

func (n *node) accept(l net.Listener) {
	defer n.c.wg.Done()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		n.connsMu.Lock()
		if n.conns == nil { // stopped between Accept and here
			n.connsMu.Unlock()
			_ = conn.Close() // nothing was served on it
			continue
		}
		n.conns[conn] = true
		n.connsMu.Unlock()
		n.c.wg.Add(1)
		go func() {
			defer n.c.wg.Done()
			n.serveConn(conn)
			n.connsMu.Lock()
			delete(n.conns, conn)
			n.connsMu.Unlock()
		}()
	}
}

// stopListening refuses new connections and cuts open ones, as a power loss does.
func (n *node) stopListening() {
	if n.l != nil {
		_ = n.l.Close() // a closed listener is what we want
		n.l = nil
	}
	n.connsMu.Lock()
	for conn := range n.conns {
		_ = conn.Close() // cutting is the purpose
	}
	n.conns = nil
	n.connsMu.Unlock()
}

// startListening takes the node's address again.
func (n *node) startListening() error {
	if n.l != nil || n.c.ctx.Err() != nil {
		return nil
	}
	listen := n.c.opt.Listen
	if listen == nil {
		listen = func(int) (net.Listener, error) { return net.Listen("tcp4", n.addr.String()) }
	}
	l, err := listen(n.id)
	if err != nil {
		return fmt.Errorf("pvefake: %s cannot listen again: %w", n.name, err)
	}
	n.listen(l)
	return nil
}

// Node is a handle on one machine of the cluster.
type Node struct{ n *node }

// Node returns the i-th node, counted from 1. It panics on a number the cluster does not have: that is
// a mistake in the test.
func (c *Cluster) Node(i int) Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(i)
	if n == nil {
		panic(fmt.Sprintf("pvefake: node %d of %d", i, len(c.nodes)))
	}
	return Node{n}
}

// Name is the node's host name, for example pve1.
func (n Node) Name() string { return n.n.name }

// URL is the address of its API, for example https://127.42.7.1:8006.
func (n Node) URL() string { return "https://" + n.n.addr.String() }

// Addr is host:port of its API.
func (n Node) Addr() string { return n.n.addr.String() }

// Fingerprint is the SHA-256 of its certificate as PVE prints it.
func (n Node) Fingerprint() string { return n.n.c.pki.nodes[n.n.id-1].fingerprint }
