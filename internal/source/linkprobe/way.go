package linkprobe

// A way is how a round trip is measured.
type way int

// The ways.
const (
	noWay  way = iota
	byUDP      // echo of the peer's exporter
	byICMP     // echo of the peer's kernel
)

// String returns "udp", "icmp" or "none".
func (w way) String() string {
	return [...]string{"none", "udp", "icmp"}[w]
}

// An outcome is what became of one packet.
type outcome int

// The outcomes.
const (
	unsent   outcome = iota // not sent, or this machine could not send it: says nothing about the link
	answered                // by a valid reply in time
	missed                  // no valid reply in time
	refused                 // the host is alive but nobody listens on the port
)

const (
	discoveryRounds = 3  // rounds in which a peer link without a way tries both
	knockEvery      = 10 // rounds between UDP packets while measuring with ICMP
	enoughMisses    = 3  // misses of UDP in a row, with as many answers to ICMP, that end UDP
)

// A chooser decides how a peer link is measured.
//
// The way is chosen before a round and only its packet is counted, whatever the other one shows:
// choosing afterwards, by which packet was answered, would hide loss. Packets of the other way only
// steer later rounds.
type chooser struct {
	now   way // noWay while discovering
	round int // since now was chosen

	hasKey     bool // UDP is possible at all
	icmpProven bool // ICMP was answered once, so silence means loss and not a firewall

	misses, checks int // by UDP: misses in a row, and answers to ICMP since the first of them
}

func newChooser(hasKey bool) *chooser {
	c := &chooser{hasKey: hasKey}
	if !hasKey {
		c.choose(byICMP)
	}
	return c
}

// A plan is what one round sends, and which packet counts.
type plan struct {
	udp, icmp bool
	counts    way
}

// plan returns what the next round does.
func (c *chooser) plan() plan {
	switch c.now {
	case byUDP:
		return plan{udp: true, icmp: c.misses > 0, counts: byUDP}
	case byICMP:
		p := plan{icmp: true, udp: c.hasKey && c.round%knockEvery == knockEvery-1}
		if c.icmpProven {
			p.counts = byICMP
		}
		return p
	}
	return plan{udp: true, icmp: true}
}

// learn takes the outcomes of the round that plan described.
func (c *chooser) learn(udp, icmp outcome) {
	c.round++
	if icmp == answered {
		c.icmpProven = true
	}
	switch {
	case udp == answered && c.now != byUDP:
		c.choose(byUDP)
	case udp == answered:
		c.misses, c.checks = 0, 0
	case udp == refused && c.now != byICMP:
		c.choose(byICMP)
	case c.now == byUDP:
		c.doubt(udp, icmp)
	case c.now == noWay && c.round >= discoveryRounds:
		c.choose(byICMP)
	}
}

// doubt follows misses of UDP: a peer that answers ICMP at the same time has a hung exporter or a
// new firewall rule rather than a bad link.
func (c *chooser) doubt(udp, icmp outcome) {
	if udp == missed {
		c.misses++
	}
	if icmp == answered {
		c.checks++
	}
	if c.misses >= enoughMisses && c.checks >= enoughMisses {
		c.choose(byICMP)
	}
}

func (c *chooser) choose(w way) {
	c.now, c.round, c.misses, c.checks = w, 0, 0, 0
}
