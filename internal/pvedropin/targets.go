package pvedropin

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A target is a host that may be asked. Two targets are equal when they are the same place.
type target struct {
	host string // an address in its shortest form, or a name in lower case
	port uint16 // 0: none was named
}

// String is host:port, or the host alone.
func (t target) String() string {
	if t.port == 0 {
		return t.host
	}
	return net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
}

// parseTarget reads HOST, HOST:PORT, ADDRESS or [ADDRESS]:PORT, and nothing that a URL parser could
// read otherwise: no scheme, user, path, escape or space.
func parseTarget(s string) (target, error) {
	host, port := s, ""
	switch {
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return target{}, fmt.Errorf("no ] in it")
		}
		host, port = s[1:end], s[end+1:]
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() {
			return target{}, fmt.Errorf("there is no IPv6 address between [ and ]")
		}
		if port != "" {
			if port[0] != ':' {
				return target{}, fmt.Errorf("want :PORT after ]")
			}
			port = port[1:]
			if port == "" {
				return target{}, fmt.Errorf("no port after the colon")
			}
		}
	case strings.Count(s, ":") == 1:
		host, port, _ = strings.Cut(s, ":")
		if port == "" {
			return target{}, fmt.Errorf("no port after the colon")
		}
	}
	t := target{}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '+' {
			return target{}, fmt.Errorf("the port is no number from 1 to 65535")
		}
		t.port = uint16(n)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return target{}, fmt.Errorf("an address with a zone is not supported")
		}
		t.host = addr.Unmap().String()
		return t, nil
	}
	if !isName(host) {
		return target{}, fmt.Errorf("want HOST, HOST:PORT or [ADDRESS]:PORT")
	}
	t.host = strings.ToLower(host)
	return t, nil
}

// isName says whether s is a host name: letters, digits, -, _ and dots between them.
func isName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || len(part) > 63 || part[0] == '-' {
			return false
		}
		for _, c := range []byte(part) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// Targets are the hosts that may be asked.
type Targets struct{ allowed map[target]bool }

// ParseTargets reads a list of HOST, HOST:PORT, ADDRESS or [ADDRESS]:PORT. An entry without a port
// allows the module's port, or pve.DefaultPort, alone. An empty list allows this machine.
func ParseTargets(list []string) (Targets, error) {
	if len(list) == 0 {
		list = []string{"localhost", "127.0.0.1", "::1"}
	}
	t := Targets{map[target]bool{}}
	for _, s := range list {
		one, err := parseTarget(s)
		if err != nil {
			return Targets{}, fmt.Errorf("allowed target %q: %w", s, err)
		}
		t.allowed[one] = true
	}
	return t, nil
}

// allow returns t with its port if it may be asked. home is the port of targets that name none.
func (l Targets) allow(t target, home uint16) (target, bool) {
	if t.port == 0 {
		t.port = home
	}
	if l.allowed[t] {
		return t, true
	}
	return t, t.port == home && l.allowed[target{host: t.host}]
}
