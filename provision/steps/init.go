package steps

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// initStep writes /etc/pve/ceph.conf. Doing it again would keep the fsid, but change the networks under
// running daemons: it is only done where there is none.
type initStep struct{ *Env }

// cephConf is the [global] section, nil without a file.
type cephConf map[string]string

func (*initStep) ID() engine.ID      { return idInit }
func (*initStep) Title() string      { return "Ceph's configuration" }
func (*initStep) Needs() []engine.ID { return []engine.ID{idInstall} }

func (s *initStep) Observe(ctx context.Context) (engine.Observed, error) {
	if !s.want().Ceph.Declared() {
		return cephConf(nil), nil
	}
	m, err := s.member(ctx)
	if err != nil {
		return nil, err
	}
	var text string
	err = s.Nodes.API(m.Node).Get(ctx, "/nodes/"+m.Node+"/ceph/cfg/raw", &text)
	switch {
	case living.CephAbsent(err), living.Refused(err, "No such file or directory"):
		return cephConf(nil), nil
	case err != nil:
		return nil, err
	}
	return cephConf(facts.ParseCephConf(text, "global")), nil
}

// networks are Ceph's of the file: public, and cluster if that is another.
func (s *initStep) networks() (public, cluster netip.Prefix) {
	for _, n := range s.want().Networks {
		if n.Ceph == "public" || n.Ceph == "public+cluster" {
			public = n.CIDR.Masked()
		}
		if n.Ceph == "cluster" || n.Ceph == "public+cluster" {
			cluster = n.CIDR.Masked()
		}
	}
	return public, cluster
}

func (s *initStep) Diff(have engine.Observed) []engine.Change {
	if !s.want().Ceph.Declared() {
		return nil
	}
	conf := have.(cephConf)
	public, cluster := s.networks()
	want := networkText(public, cluster)
	if conf == nil {
		return []engine.Change{{Path: "ceph.conf", To: want, Action: engine.Create, Risk: engine.Low}}
	}
	is := [2]netip.Prefix{network(conf["public_network"]), network(conf["cluster_network"])}
	if !is[1].IsValid() {
		is[1] = is[0]
	}
	if public.IsValid() && (is[0] != public || cluster.IsValid() && is[1] != cluster) {
		return []engine.Change{{
			Path: "ceph.conf/networks", From: networkText(is[0], is[1]), To: want, Action: engine.Forbidden,
			Note: "Ceph's networks are changed daemon by daemon; correct the file, or follow the documentation of Ceph",
		}}
	}
	return nil
}

func network(s string) netip.Prefix {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}
	}
	return p.Masked()
}

func networkText(public, cluster netip.Prefix) string {
	switch {
	case !public.IsValid():
		return "the network of the monitors' addresses"
	case !cluster.IsValid() || cluster == public:
		return fmt.Sprintf("network %s", public)
	}
	return fmt.Sprintf("public network %s, cluster network %s", public, cluster)
}

func (s *initStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	m, err := s.member(ctx)
	if err != nil {
		return err
	}
	p := transport.Params{}
	public, cluster := s.networks()
	if public.IsValid() {
		p["network"] = public.String()
		if cluster.IsValid() && cluster != public {
			p["cluster-network"] = cluster.String()
		}
	}
	node := m.Node
	if nodes := s.cephNodes(); len(nodes) > 0 && !slices.Contains(nodes, node) {
		node = nodes[0] // only there it is installed
	}
	return s.Nodes.API(node).Post(ctx, "/nodes/"+node+"/ceph/init", p, nil)
}

func (*initStep) Wait(context.Context, engine.Reporter) error { return nil }
