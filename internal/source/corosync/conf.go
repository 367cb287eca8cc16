package corosync

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A Config is what a corosync.conf says, with corosync.conf(5)'s defaults filled in.
type Config struct {
	ClusterName   string
	ConfigVersion uint64 // 0 when not set
	Transport     string // knet, udpu or udp
	LinkMode      string // passive, active or rr
	CryptoCipher  string // none, aes128, …
	CryptoHash    string // none, sha256, …

	Nodes []ConfNode // in the order of the file

	ExpectedVotes uint32 // 0 when not set: the sum of all votes counts
	TwoNode       bool
	WaitForAll    bool // set, or implied by two_node
	QDevice       bool // quorum.device.model is set
	QDeviceVotes  uint32
}

// A ConfNode is one node{} of the nodelist.
type ConfNode struct {
	ID    uint32
	Name  string // its ring0_addr when it has no name
	Votes uint32
	Rings map[int]string // link number to ringX_addr: an address, or a name to look up
}

// Encrypted says whether the nodes authenticate and encrypt what they send.
func (c Config) Encrypted() bool { return c.CryptoCipher != "none" && c.CryptoHash != "none" }

// A ParseError says what is wrong in which line of a corosync.conf.
type ParseError struct {
	File string
	Line int // from 1
	Text string
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// maxConfBytes is pmxcfs's limit for one file.
const maxConfBytes = 1 << 20

// ReadConfig parses the corosync.conf at path. A file that does not exist (fs.ErrNotExist) means
// that the node is in no cluster.
func ReadConfig(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("read corosync configuration: %w", err)
	}
	defer f.Close()
	return ParseConfig(f, path)
}

// ParseConfig parses a corosync.conf as corosync does: line by line, each of which opens a section,
// closes one, or sets a key; a key that is set twice has its last value. file is the name for
// errors, which are of type *ParseError where a line is to blame.
func ParseConfig(r io.Reader, file string) (Config, error) {
	p := &confParser{file: file}
	root, err := p.parse(r)
	if err != nil {
		return Config{}, err
	}
	return p.cluster(root)
}

// A section is a block of a corosync.conf, or the whole file.
type section struct {
	name     string
	line     int
	keys     map[string]setting
	sections []*section
}

type setting struct {
	value string
	line  int
}

func newSection(name string, line int) *section {
	return &section{name: name, line: line, keys: map[string]setting{}}
}

type confParser struct {
	file string
}

func (p *confParser) fail(line int, format string, args ...any) error {
	return &ParseError{File: p.file, Line: line, Text: fmt.Sprintf(format, args...)}
}

// parse reads the sections. corosync looks for the brace before the colon, so must we.
func (p *confParser) parse(r io.Reader) (*section, error) {
	open := []*section{newSection("", 0)}
	in := bufio.NewScanner(io.LimitReader(r, maxConfBytes+1))
	in.Buffer(nil, maxConfBytes+2)
	line, size := 0, 0
	for in.Scan() {
		line++
		if size += len(in.Bytes()) + 1; size > maxConfBytes {
			return nil, p.fail(line, "file is larger than %d bytes", maxConfBytes)
		}
		top := open[len(open)-1]
		t := strings.TrimSpace(in.Text())
		switch {
		case t == "" || t[0] == '#':
		case strings.Contains(t, "{"):
			name, rest, _ := strings.Cut(t, "{")
			if name = strings.TrimSpace(name); name == "" {
				return nil, p.fail(line, "a section has no name before {")
			}
			if rest != "" {
				return nil, p.fail(line, "text after {: %q (put it on a line of its own)", rest)
			}
			s := newSection(name, line)
			top.sections = append(top.sections, s)
			open = append(open, s)
		case strings.Contains(t, ":"):
			key, val, _ := strings.Cut(t, ":")
			top.keys[strings.TrimSpace(key)] = setting{strings.TrimSpace(val), line}
		case t == "}":
			if len(open) == 1 {
				return nil, p.fail(line, "} closes no section")
			}
			open = open[:len(open)-1]
		default:
			return nil, p.fail(line, "neither a section, a }, nor a key with a colon: %q", t)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", p.file, err)
	}
	if last := open[len(open)-1]; len(open) > 1 {
		return nil, p.fail(last.line, "section %s is not closed", last.name)
	}
	return open[0], nil
}

// sub merges all sections called name into one, as corosync's key map does, and keeps the
// sections within in order.
func (s *section) sub(name string) *section {
	all := newSection(name, s.line)
	for _, c := range s.sections {
		if c.name != name {
			continue
		}
		all.line = c.line
		for k, v := range c.keys {
			all.keys[k] = v
		}
		all.sections = append(all.sections, c.sections...)
	}
	return all
}

func (s *section) text(key, byDefault string) string {
	return cmp.Or(s.keys[key].value, byDefault)
}

// readNumber reads a whole number into *to, and leaves it alone when the key is not set.
func readNumber[T uint32 | uint64](p *confParser, s *section, key string, to *T) error {
	set, ok := s.keys[key]
	if !ok {
		return nil
	}
	n, err := strconv.ParseUint(set.value, 10, bitSize(*to))
	if err != nil {
		return p.fail(set.line, "%s: %q is not a whole number in range", key, set.value)
	}
	*to = T(n)
	return nil
}

func bitSize[T uint32 | uint64](v T) int {
	if uint64(^T(0)) > 1<<32 {
		return 64
	}
	return 32
}

// cluster turns sections into a Config.
func (p *confParser) cluster(root *section) (Config, error) {
	totem := root.sub("totem")
	c := Config{
		ClusterName: totem.text("cluster_name", ""),
		Transport:   totem.text("transport", "knet"),
		LinkMode:    totem.text("link_mode", "passive"),
	}
	c.CryptoCipher, c.CryptoHash = "none", "none"
	if totem.text("secauth", "off") == "on" {
		c.CryptoCipher, c.CryptoHash = "aes256", "sha256"
	}
	c.CryptoCipher = totem.text("crypto_cipher", c.CryptoCipher)
	c.CryptoHash = totem.text("crypto_hash", c.CryptoHash)
	if err := readNumber(p, totem, "config_version", &c.ConfigVersion); err != nil {
		return Config{}, err
	}
	for _, n := range root.sub("nodelist").sections {
		if n.name != "node" {
			continue
		}
		if err := p.addNode(&c, n); err != nil {
			return Config{}, err
		}
	}
	return c, p.quorum(&c, root.sub("quorum"))
}

func (p *confParser) addNode(c *Config, s *section) error {
	n := ConfNode{Votes: 1, Rings: map[int]string{}}
	if err := readNumber(p, s, "nodeid", &n.ID); err != nil {
		return err
	}
	if err := readNumber(p, s, "quorum_votes", &n.Votes); err != nil {
		return err
	}
	for l := range maxLinks {
		if addr := s.text("ring"+strconv.Itoa(l)+"_addr", ""); addr != "" {
			n.Rings[l] = addr
		}
	}
	n.Name = s.text("name", n.Rings[0])
	if n.ID == 0 {
		return p.fail(s.line, "node %q has no nodeid above 0: Proxmox VE and transport knet need one for every node", n.Name)
	}
	if n.Rings[0] == "" {
		return p.fail(s.line, "node %q has no ring0_addr", n.Name)
	}
	if slices.ContainsFunc(c.Nodes, func(o ConfNode) bool { return o.ID == n.ID }) {
		return p.fail(s.keys["nodeid"].line, "nodeid %d is used twice", n.ID)
	}
	c.Nodes = append(c.Nodes, n)
	return nil
}

func (p *confParser) quorum(c *Config, s *section) error {
	var twoNode, waitForAll uint32
	dev := s.sub("device")
	c.QDevice = dev.text("model", "") != ""
	for _, err := range []error{
		readNumber(p, s, "expected_votes", &c.ExpectedVotes),
		readNumber(p, s, "two_node", &twoNode),
		readNumber(p, s, "wait_for_all", &waitForAll),
		readNumber(p, dev, "votes", &c.QDeviceVotes),
	} {
		if err != nil {
			return err
		}
	}
	c.TwoNode = twoNode == 1
	_, explicit := s.keys["wait_for_all"]
	c.WaitForAll = waitForAll == 1 || c.TwoNode && !explicit
	if !c.QDevice {
		c.QDeviceVotes = 0
	} else if _, set := dev.keys["votes"]; !set {
		c.QDeviceVotes = max(c.nodeVotes(), 1) - 1 // corosync-qdevice(8)
	}
	return nil
}

func (c Config) nodeVotes() (sum uint32) {
	for _, n := range c.Nodes {
		sum += n.Votes
	}
	return sum
}
