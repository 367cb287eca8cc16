package pve

import (
	"context"
	"encoding/json"
)

// The calls of this file are about the whole cluster: any node answers them.

// A Version says what the answering node runs.
type Version struct {
	Release Text `json:"release"` // 9.2
	RepoID  Text `json:"repoid"`
	Version Text `json:"version"` // 9.2.11
}

// Version reads /version.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return one[Version](ctx, c, "/version")
}

// ClusterStatus is what /cluster/status says: pmxcfs's membership as the answering node sees it.
type ClusterStatus struct {
	Cluster *ClusterInfo // nil on a node that is in no cluster
	Nodes   []ClusterNode
}

// ClusterInfo is the cluster's row of ClusterStatus.
type ClusterInfo struct {
	ID      string
	Name    Text
	Nodes   Int // configured ones
	Quorate Bool
	Version Int // of corosync.conf
}

// A ClusterNode is a node's row of ClusterStatus.
type ClusterNode struct {
	ID     string // node/NAME
	Name   Text
	NodeID Int // 0 on a node that is in no cluster
	Online Bool
	Local  Bool // this node answered
	IP     string
	Level  string // of its subscription
}

// OnlineKnown says whether Online of the nodes means anything. Without quorum pmxcfs may show nodes
// as they were when corosync stopped.
func (s ClusterStatus) OnlineKnown() bool { return s.Cluster == nil || s.Cluster.Quorate.V }

// Local returns the node that answered.
func (s ClusterStatus) Local() (ClusterNode, bool) {
	for _, n := range s.Nodes {
		if n.Local.V {
			return n, true
		}
	}
	return ClusterNode{}, false
}

type statusRow struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Name    Text   `json:"name"`
	Nodes   Int    `json:"nodes"`
	Quorate Bool   `json:"quorate"`
	Version Int    `json:"version"`
	NodeID  Int    `json:"nodeid"`
	Online  Bool   `json:"online"`
	Local   Bool   `json:"local"`
	IP      string `json:"ip"`
	Level   string `json:"level"`
}

func (r *statusRow) lacks() string {
	switch {
	case r.ID == "":
		return "id"
	case r.Name == "":
		return "name"
	case r.Type == "cluster" && !r.Quorate.Known:
		return "quorate"
	case r.Type == "node" && !r.Online.Known:
		return "online"
	}
	return ""
}

// ClusterStatus reads /cluster/status. It needs Sys.Audit on /. Beside an error of kind type there
// may be the rows that could be read.
func (c *Client) ClusterStatus(ctx context.Context) (ClusterStatus, error) {
	rows, err := list(ctx, c, "/cluster/status", (*statusRow).lacks)
	var s ClusterStatus
	for _, r := range rows {
		switch r.Type {
		case "cluster":
			s.Cluster = &ClusterInfo{ID: r.ID, Name: r.Name, Nodes: r.Nodes, Quorate: r.Quorate, Version: r.Version}
		case "node":
			s.Nodes = append(s.Nodes, ClusterNode{r.ID, r.Name, r.NodeID, r.Online, r.Local, r.IP, r.Level})
		}
	}
	return s, err
}

// A Resource is a row of /cluster/resources: a node, guest, storage, or something newer. Numbers
// that the cluster does not have at the moment, such as those of a lost node, are not known.
type Resource struct {
	ID     string `json:"id"` // node/NAME, qemu/VMID, lxc/VMID, storage/NODE/NAME, …
	Type   string `json:"type"`
	Node   string `json:"node"`
	Name   Text   `json:"name"`
	Status string `json:"status"` // online, running, available, …

	VMID     Int    `json:"vmid"`
	Template Bool   `json:"template"`
	Tags     Text   `json:"tags"`
	Pool     Text   `json:"pool"`
	Lock     string `json:"lock"`
	HAState  string `json:"hastate"` // of a node or a guest; "" when HA does not manage it

	Storage    Text   `json:"storage"`
	PluginType string `json:"plugintype"`
	Content    Text   `json:"content"`
	Shared     Bool   `json:"shared"`

	CPU       Float  `json:"cpu"`    // 0 to 1 of MaxCPU
	MaxCPU    Float  `json:"maxcpu"` // cores; may be a fraction for a container
	Mem       Int    `json:"mem"`    // bytes, as all that follow
	MaxMem    Int    `json:"maxmem"`
	Disk      Int    `json:"disk"`
	MaxDisk   Int    `json:"maxdisk"`
	NetIn     Int    `json:"netin"`
	NetOut    Int    `json:"netout"`
	DiskRead  Int    `json:"diskread"`
	DiskWrite Int    `json:"diskwrite"`
	Uptime    Int    `json:"uptime"` // seconds
	Level     string `json:"level"`  // a node's subscription
}

func (r *Resource) lacks() string {
	switch {
	case r.ID == "":
		return "id"
	case r.Type == "":
		return "type"
	}
	return ""
}

// Resources reads /cluster/resources: all there is in one reply. What the caller has no right to see
// is left out of it without a word, see MissingRights. Beside an error of kind type there may be the
// rows that could be read.
func (c *Client) Resources(ctx context.Context) ([]Resource, error) {
	return list(ctx, c, "/cluster/resources", (*Resource).lacks)
}

// A Task is a row of a task list. Times are in seconds since 1970.
type Task struct {
	UPID      string `json:"upid"`
	Node      string `json:"node"`
	Type      string `json:"type"` // qmigrate, vzdump, …
	ID        Text   `json:"id"`   // mostly a VMID; may be empty
	User      string `json:"user"`
	StartTime Int    `json:"starttime"`
	EndTime   Int    `json:"endtime"` // not known while it runs
	Status    Text   `json:"status"`  // "" while it runs; OK, "WARNINGS: 2", or an error's text
}

func (t *Task) lacks() string {
	if t.UPID == "" {
		return "upid"
	}
	return ""
}

// ClusterTasks reads /cluster/tasks: of each node what runs and what ended last, some 25 tasks a
// node. The list of a lost node stays as it was. Without Sys.Audit on / it holds the caller's only.
func (c *Client) ClusterTasks(ctx context.Context) ([]Task, error) {
	return list(ctx, c, "/cluster/tasks", (*Task).lacks)
}

// HAManagerStatus reads /cluster/ha/status/manager_status: the files of HA as they are, together
// with the answering node's quorum. It needs Sys.Audit on /.
func (c *Client) HAManagerStatus(ctx context.Context) (json.RawMessage, error) {
	return one[json.RawMessage](ctx, c, "/cluster/ha/status/manager_status")
}

// HAStatusCurrent reads /cluster/ha/status/current: rows for people, with the configuration of each
// service. It needs Sys.Audit on /.
func (c *Client) HAStatusCurrent(ctx context.Context) (json.RawMessage, error) {
	return one[json.RawMessage](ctx, c, "/cluster/ha/status/current")
}

// An UncoveredGuest is in no backup job.
type UncoveredGuest struct {
	VMID Int    `json:"vmid"`
	Type string `json:"type"` // qemu or lxc
	Name Text   `json:"name"`
}

// NotBackedUp reads /cluster/backup-info/not-backed-up. It needs Sys.Audit on /.
func (c *Client) NotBackedUp(ctx context.Context) ([]UncoveredGuest, error) {
	return list(ctx, c, "/cluster/backup-info/not-backed-up", func(g *UncoveredGuest) string {
		if !g.VMID.Known {
			return "vmid"
		}
		return ""
	})
}

// QDevice reads /cluster/config/qdevice: what corosync-qdevice-tool says on the answering node, such
// as Model, State and "QNetd host". It is empty without a qdevice.
func (c *Client) QDevice(ctx context.Context) (map[string]Text, error) {
	return one[map[string]Text](ctx, c, "/cluster/config/qdevice")
}

// one reads path into a T.
func one[T any](ctx context.Context, c *Client, path string) (T, error) {
	return shared(ctx, c, path, func(ctx context.Context) (v T, err error) {
		body, err := c.fetch(ctx, path)
		if err != nil {
			return v, err
		}
		if err := decode(body, &v); err != nil {
			var zero T
			return zero, about(path, err)
		}
		return v, nil
	})
}

// list reads the rows at path that lack nothing.
func list[T any](ctx context.Context, c *Client, path string, lacks func(*T) string) ([]T, error) {
	return shared(ctx, c, path, func(ctx context.Context) ([]T, error) {
		body, err := c.fetch(ctx, path)
		if err != nil {
			return nil, err
		}
		rows, err := decodeRows(body, lacks)
		return rows, about(path, err)
	})
}
