package pve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/quorate/quorate/internal/source/corosync"
)

// Members is the file .members: pmxcfs's view of the cluster.
type Members struct {
	NodeName string       // of this node
	Version  int64        // goes up with each change
	Cluster  *MembersInfo // nil on a node that is in no cluster
	Nodes    []MemberNode // by name; of corosync.conf
}

// MembersInfo is the cluster's part of Members.
type MembersInfo struct {
	Name    string
	Version int64 // of corosync.conf
	Nodes   int64
	Quorate bool
}

// A MemberNode is a node of the cluster.
type MemberNode struct {
	Name string
	ID   int64
	IP   string
	// Online is not known without quorum: when the local corosync stops, pmxcfs keeps every node
	// online and only takes the quorum away (measured).
	Online Bool
}

// Members reads .members.
func (f *Files) Members(ctx context.Context) (Members, error) {
	return parsed(ctx, f, ".members", parseMembers)
}

func parseMembers(b []byte) (Members, error) {
	var file struct {
		NodeName Text `json:"nodename"`
		Version  Int  `json:"version"`
		Cluster  *struct {
			Name    Text `json:"name"`
			Version Int  `json:"version"`
			Nodes   Int  `json:"nodes"`
			Quorate Bool `json:"quorate"`
		} `json:"cluster"`
		Nodes map[string]struct {
			ID     Int    `json:"id"`
			Online Bool   `json:"online"`
			IP     string `json:"ip"`
		} `json:"nodelist"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return Members{}, err
	}
	if file.NodeName == "" {
		return Members{}, errors.New("no nodename")
	}
	m := Members{NodeName: string(file.NodeName), Version: file.Version.V}
	if c := file.Cluster; c != nil {
		if !c.Quorate.Known {
			return Members{}, errors.New("cluster: no quorate")
		}
		m.Cluster = &MembersInfo{string(c.Name), c.Version.V, c.Nodes.V, c.Quorate.V}
	}
	for _, name := range slices.Sorted(maps.Keys(file.Nodes)) {
		n := file.Nodes[name]
		if m.Cluster != nil && !m.Cluster.Quorate {
			n.Online = Bool{}
		}
		m.Nodes = append(m.Nodes, MemberNode{Name: name, ID: n.ID.V, IP: n.IP, Online: n.Online})
	}
	return m, nil
}

// A GuestPlace says on which node a guest's configuration lies.
type GuestPlace struct {
	GuestRef
	Node    string
	Version int64 // goes up when the configuration is written anew or moves
}

// Guests reads .vmlist: all guests of the cluster by VMID.
func (f *Files) Guests(ctx context.Context) ([]GuestPlace, error) {
	return parsed(ctx, f, ".vmlist", parseVMList)
}

func parseVMList(b []byte) ([]GuestPlace, error) {
	var file struct {
		IDs map[string]struct {
			Node    string `json:"node"`
			Type    string `json:"type"`
			Version Int    `json:"version"`
		} `json:"ids"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, err
	}
	guests := make([]GuestPlace, 0, len(file.IDs))
	for id, g := range file.IDs {
		vmid, err := strconv.ParseUint(id, 10, 31)
		if err != nil || g.Node == "" || g.Type != "qemu" && g.Type != "lxc" {
			return nil, fmt.Errorf("guest %q: want a number, a node, and qemu or lxc", shorten(id, 40))
		}
		guests = append(guests, GuestPlace{GuestRef{g.Type, int64(vmid)}, g.Node, g.Version.V})
	}
	slices.SortFunc(guests, func(a, b GuestPlace) int { return cmp.Compare(a.VMID, b.VMID) })
	return guests, nil
}

// FileVersions is the file .version: counters that tell which files changed, without reading them.
// They start anew when pmxcfs does.
type FileVersions struct {
	StartTime int64            // of pmxcfs, seconds since 1970
	Members   int64            // clinfo
	Guests    int64            // vmlist
	Files     map[string]int64 // such as "ha/manager_status"
}

// Versions reads .version.
func (f *Files) Versions(ctx context.Context) (FileVersions, error) {
	return parsed(ctx, f, ".version", parseVersions)
}

func parseVersions(b []byte) (FileVersions, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return FileVersions{}, err
	}
	v := FileVersions{Files: map[string]int64{}}
	for name, raw := range all {
		if name == "kvstore" {
			continue
		}
		var n Int
		if err := n.UnmarshalJSON(raw); err != nil {
			return FileVersions{}, fmt.Errorf("%q: %w", shorten(name, 60), err)
		}
		switch name {
		case "starttime":
			v.StartTime = n.V
		case "clinfo":
			v.Members = n.V
		case "vmlist":
			v.Guests = n.V
		default:
			v.Files[name] = n.V
		}
	}
	if v.StartTime == 0 {
		return FileVersions{}, errors.New("no starttime")
	}
	return v, nil
}

// Corosync reads the cluster's corosync.conf. On a node that is in no cluster there is none
// (fs.ErrNotExist).
func (f *Files) Corosync(ctx context.Context) (corosync.Config, error) {
	const name = "corosync.conf"
	return parsed(ctx, f, name, func(b []byte) (corosync.Config, error) {
		return corosync.ParseConfig(bytes.NewReader(b), path.Join(f.root, name))
	})
}

// parsed reads and parses one file in its lane.
func parsed[T any](ctx context.Context, f *Files, name string, parse func([]byte) (T, error)) (T, error) {
	return InFiles(ctx, f, name, func(fsys fs.FS) (T, error) {
		var zero T
		b, err := readFile(fsys, name)
		if err != nil {
			return zero, err
		}
		v, err := parse(b)
		if err != nil {
			return zero, malformed(name, err)
		}
		return v, nil
	})
}
