package living

import (
	"context"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/transport"
)

// A View is what one node says of its cluster.
type View struct {
	Node    string // that was asked
	Name    string // of the cluster, "" when the node stands alone
	Quorate bool
	Members []Member
}

// A Member is one node of a View.
type Member struct {
	Name   string
	Online bool
	IP     string
}

// Has says whether name is a member, and online.
func (v View) Has(name string) (listed, online bool) {
	for _, m := range v.Members {
		if m.Name == name {
			return true, m.Online
		}
	}
	return false, false
}

// ReadView asks a node for its cluster (GET /cluster/status).
func ReadView(ctx context.Context, nodes transport.Set, node string) (View, error) {
	var rows []struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Quorate pve.Bool `json:"quorate"`
		Online  pve.Bool `json:"online"`
		IP      string   `json:"ip"`
	}
	if err := nodes.API(node).Get(ctx, "/cluster/status", &rows); err != nil {
		return View{}, err
	}
	v := View{Node: node}
	for _, r := range rows {
		switch r.Type {
		case "cluster":
			v.Name, v.Quorate = r.Name, r.Quorate.V
		case "node":
			v.Members = append(v.Members, Member{r.Name, r.Online.V, r.IP})
		}
	}
	return v, nil
}
