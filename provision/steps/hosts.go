package steps

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// hostsStep makes every node know the names of all nodes, without DNS. A name must lead to the address
// of corosync's first link: a node that resolves its own name to 127.0.1.1 cannot join.
type hostsStep struct{ *Env }

type hostsFile struct {
	Data   string `json:"data"`
	Digest string `json:"digest"`
}

func (*hostsStep) ID() engine.ID         { return idHosts }
func (*hostsStep) Title() string         { return "names of all nodes in /etc/hosts" }
func (*hostsStep) Needs() []engine.ID    { return nil }
func (*hostsStep) Traits() engine.Traits { return engine.Traits{Spread: -1} }

func (s *hostsStep) Observe(ctx context.Context) (engine.Observed, error) {
	files := map[string]hostsFile{}
	for _, n := range s.names() {
		var f hostsFile
		if err := s.Nodes.API(n).Get(ctx, "/nodes/"+n+"/hosts", &f); err != nil {
			return nil, err
		}
		files[n] = f
	}
	return files, nil
}

func (s *hostsStep) Diff(have engine.Observed) []engine.Change {
	files := have.(map[string]hostsFile)
	var want []hostName
	for _, n := range s.want().Nodes {
		want = append(want, hostName{n.Management, n.Name})
	}
	var out []engine.Change
	for _, n := range s.names() {
		f := files[n]
		text := withHosts(f.Data, want)
		if text == f.Data {
			continue
		}
		out = append(out, engine.Change{
			Node: n, Path: "/etc/hosts", Action: engine.Update, Risk: engine.Safe,
			From: strings.Join(without(f.Data, text), "\n"), To: strings.Join(without(text, f.Data), "\n"),
			Do: [2]hostsFile{f, {Data: text}},
		})
	}
	return out
}

// without returns the lines of a that b does not have.
func without(a, b string) []string {
	there := strings.Split(b, "\n")
	var out []string
	for _, l := range strings.Split(a, "\n") {
		if !slices.Contains(there, l) {
			out = append(out, l)
		}
	}
	return out
}

func (s *hostsStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	files := c.Do.([2]hostsFile)
	report.Keep(c.Node+"-hosts", []byte(files[0].Data))
	err := s.Nodes.API(c.Node).Post(ctx, "/nodes/"+c.Node+"/hosts", transport.Params{"data": files[1].Data, "digest": files[0].Digest}, nil)
	if err != nil {
		return fmt.Errorf("write /etc/hosts: %w", err)
	}
	return nil
}

func (*hostsStep) Wait(context.Context, engine.Reporter) error { return nil }

type hostName struct {
	addr netip.Addr
	name string
}

// withHosts returns the file text with each name at its address and nowhere else. All other names,
// comments and lines stay.
func withHosts(text string, want []hostName) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	found := map[string]bool{}
	var out []string
	for _, l := range lines {
		entry, comment, hasComment := strings.Cut(l, "#")
		fields := strings.Fields(entry)
		if len(fields) < 2 {
			out = append(out, l)
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		kept := fields[:1:1]
		for _, f := range fields[1:] {
			i := slices.IndexFunc(want, func(w hostName) bool { return w.name == f })
			if i >= 0 && (err != nil || addr != want[i].addr) && sameFamily(addr, want[i].addr) {
				continue
			}
			if i >= 0 && addr == want[i].addr {
				found[f] = true
			}
			kept = append(kept, f)
		}
		switch {
		case len(kept) == len(fields):
			out = append(out, l)
		case len(kept) > 1 && hasComment:
			out = append(out, strings.Join(kept, " ")+" #"+comment)
		case len(kept) > 1:
			out = append(out, strings.Join(kept, " "))
		}
	}
	for _, w := range want {
		if !found[w.name] {
			out = append(out, fmt.Sprintf("%s %s", w.addr, w.name))
		}
	}
	return strings.Join(out, "\n") + "\n"
}

// sameFamily is true unless one is IPv4 and the other IPv6, which may stand side by side.
func sameFamily(a, b netip.Addr) bool { return !a.IsValid() || a.Is4() == b.Is4() }
