package pve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// The calls of this file are about one node, which answers them itself: asked through another they
// fail with NodeUnreachable while it is down.

// nodePath is /nodes/NODE/….
func nodePath(node, rest string) string { return "/nodes/" + url.PathEscape(node) + "/" + rest }

// NodeVersion reads the Version of a node.
func (c *Client) NodeVersion(ctx context.Context, node string) (Version, error) {
	return one[Version](ctx, c, nodePath(node, "version"))
}

// A Subscription is what a node knows about its support contract.
type Subscription struct {
	Status      string `json:"status"` // new, notfound, active, invalid, expired or suspended
	Level       Text   `json:"level"`
	NextDueDate Text   `json:"nextduedate"` // YYYY-MM-DD
	ProductName Text   `json:"productname"`
}

// Subscription reads /nodes/NODE/subscription.
func (c *Client) Subscription(ctx context.Context, node string) (Subscription, error) {
	path := nodePath(node, "subscription")
	s, err := one[Subscription](ctx, c, path)
	if err == nil && s.Status == "" {
		return s, about(path, &Error{Kind: Type, Text: "no status"})
	}
	return s, err
}

// A ReplicationJob is a storage replication job whose guest is on the node asked. Times are in
// seconds since 1970, 0 for never.
type ReplicationJob struct {
	ID        string `json:"id"` // VMID-NUMBER
	Type      string `json:"type"`
	Source    string `json:"source"`
	Target    string `json:"target"`
	Guest     Int    `json:"guest"`
	Disabled  Bool   `json:"disable"`
	Duration  Float  `json:"duration"` // seconds of the last sync
	LastSync  Int    `json:"last_sync"`
	LastTry   Int    `json:"last_try"`
	NextSync  Int    `json:"next_sync"`
	FailCount Int    `json:"fail_count"` // since the last good sync
	Error     Text   `json:"error"`
}

func (j *ReplicationJob) lacks() string {
	if j.ID == "" {
		return "id"
	}
	return ""
}

// Replication reads /nodes/NODE/replication. Do not call it without quorum: the node takes a lock
// for it that it cannot get then, and one of its three workers hangs for ten seconds.
func (c *Client) Replication(ctx context.Context, node string) ([]ReplicationJob, error) {
	return list(ctx, c, nodePath(node, "replication"), (*ReplicationJob).lacks)
}

// NodeGuest is a guest as its node lists it.
type NodeGuest struct {
	VMID   Int    `json:"vmid"`
	Name   Text   `json:"name"`
	Status string `json:"status"`
	Lock   string `json:"lock"`
	Type   string `json:"-"` // qemu or lxc
}

func (g *NodeGuest) lacks() string {
	if !g.VMID.Known {
		return "vmid"
	}
	return ""
}

// NodeGuests reads /nodes/NODE/qemu and /nodes/NODE/lxc.
func (c *Client) NodeGuests(ctx context.Context, node string) ([]NodeGuest, error) {
	var all []NodeGuest
	var errs []error
	for _, kind := range []string{"qemu", "lxc"} {
		rows, err := list(ctx, c, nodePath(node, kind), (*NodeGuest).lacks)
		for _, g := range rows { // a copy: rows may be shared
			g.Type = kind
			all = append(all, g)
		}
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

// A GuestRef names a guest.
type GuestRef struct {
	Type string // qemu or lxc
	VMID int64
}

// String is the id of the guest's Resource.
func (g GuestRef) String() string { return g.Type + "/" + strconv.FormatInt(g.VMID, 10) }

// configReaders is how many guest configurations are asked for at a time.
const configReaders = 3

// OnBoot reads the configuration of each of these guests of node, one request a guest, and says
// which are started with the node. On the node itself Files.GuestConfigs costs no request. Beside an
// error there are those that could be read; after the first failure that is not about one guest no
// further one is asked for.
func (c *Client) OnBoot(ctx context.Context, node string, guests []GuestRef) (map[GuestRef]bool, error) {
	return shared(ctx, c, nodePath(node, "…/config"), func(ctx context.Context) (map[GuestRef]bool, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		var (
			mu    sync.Mutex
			found = make(map[GuestRef]bool, len(guests))
			first error
			wg    sync.WaitGroup
		)
		todo := make(chan GuestRef)
		for range min(configReaders, len(guests)) {
			wg.Go(func() {
				for g := range todo {
					on, err := c.onBoot(ctx, node, g)
					mu.Lock()
					if err == nil {
						found[g] = on
					} else if first == nil {
						first = err
					}
					mu.Unlock()
					if err != nil && !answeredByAPI(err) {
						cancel(err)
					}
				}
			})
		}
		for _, g := range guests {
			if ctx.Err() != nil {
				break
			}
			todo <- g
		}
		close(todo)
		wg.Wait()
		return found, first
	})
}

func (c *Client) onBoot(ctx context.Context, node string, g GuestRef) (bool, error) {
	if g.Type != "qemu" && g.Type != "lxc" {
		return false, &Error{Kind: Type, Method: http.MethodGet, Text: fmt.Sprintf("%s is no kind of guest", g.Type)}
	}
	path := nodePath(node, g.String()+"/config")
	body, err := c.fetch(ctx, path)
	if err != nil {
		return false, err
	}
	var config struct {
		OnBoot Bool `json:"onboot"`
	}
	if err := decode(body, &config); err != nil {
		return false, about(path, err)
	}
	return config.OnBoot.V, nil
}
