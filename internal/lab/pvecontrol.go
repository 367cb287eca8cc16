package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
)

// Whoever runs virtual machines in the lab tells the process that plays Proxmox VE, through a socket
// in the lab's directory: a JSON object to a path of HTTP, answered when /etc/pve and the task lists
// on disk say it too.

// pveCall is what is sent; each path uses its part of it.
type pveCall struct {
	VM       VMOptions `json:"vm"`
	Node     int       `json:"node"` // where it is, or is to go
	PID      int       `json:"pid"`
	UPID     string    `json:"upid"`
	Lines    []string  `json:"lines"`
	Status   string    `json:"status"`
	DiskSize int64     `json:"diskSize"`
}

// pveReply answers a call. Interrupted says that the task was told to stop.
type pveReply struct {
	UPID        string `json:"upid,omitempty"`
	Interrupted bool   `json:"interrupted,omitempty"`
	Error       string `json:"error,omitempty"`
}

func (l *Lab) pveControlPath() string { return filepath.Join(l.NodeDir(0), "pve.sock") }

// serveControl answers until ctx ends. Its goroutine ends with the returned stop.
func (s *pveServer) serveControl(ctx context.Context) (stop func(), err error) {
	path := s.l.pveControlPath()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	for name, do := range map[string]func(pveCall) (string, error){
		"guest":   s.controlGuest,
		"process": func(q pveCall) (string, error) { return "", s.c.SetGuestProcess(q.VM.ID, q.Node, q.PID) },
		"begin":   func(q pveCall) (string, error) { return s.c.BeginMigration(q.VM.ID, q.Node, "root@pam") },
		"log":     func(q pveCall) (string, error) { return "", s.c.LogTask(q.UPID, q.Lines...) },
		"move":    func(q pveCall) (string, error) { return "", s.c.MoveGuest(q.VM.ID, q.Node) },
		"end":     func(q pveCall) (string, error) { return "", s.c.FinishTask(q.UPID, q.Status) },
	} {
		mux.HandleFunc("POST /"+name, s.control(name != "log" && name != "process", do))
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	return func() { _ = server.Close(); <-done }, nil
}

// control runs a call and, if others are to see its effect at once, writes the files before it answers.
func (s *pveServer) control(write bool, do func(pveCall) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q pveCall
		var reply pveReply
		err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&q)
		if err == nil {
			reply.UPID, err = do(q)
		}
		if err == nil && write {
			err = s.writeFiles()
		}
		reply.Interrupted = errors.Is(err, pvefake.ErrInterrupted)
		if err != nil {
			reply.Error = err.Error()
		}
		_ = json.NewEncoder(w).Encode(reply) // the caller sees a reply that is cut short
	}
}

// controlGuest gives a guest a configuration, unless it has one.
func (s *pveServer) controlGuest(q pveCall) (string, error) {
	at, _ := s.c.GuestNode(q.VM.ID)
	switch at {
	case NodeName(q.Node):
		return "", nil
	case "":
		storage := "shared"
		if s.l.o.Ceph {
			storage = "rbd"
		}
		if q.VM.LocalDisk {
			storage = "local"
		}
		return "", s.c.AddVM(pvefake.Guest{VMID: q.VM.ID, Node: q.Node, Name: q.VM.Name, Cores: 1,
			MemoryBytes: int64(q.VM.MemoryMiB) << 20, DiskBytes: q.DiskSize, Storage: storage, Tags: "lab"})
	}
	return "", fmt.Errorf("guest %d has its configuration on %s", q.VM.ID, at)
}

// migrateReal is what does a migration of a real VM that the API or the HA manager has begun.
func (s *pveServer) migrateReal(ctx context.Context) func(pvefake.MigrationRequest) {
	return func(r pvefake.MigrationRequest) {
		s.migrations.Go(func() {
			if _, err := s.l.migrate(ctx, r.VMID, r.To, MigrateOptions{}, r.UPID); err != nil {
				s.l.log.Warn("migration", "vm", r.VMID, "err", err)
			}
		})
	}
}

// callPVE tells the process that plays Proxmox VE. Without one it does nothing.
func (l *Lab) callPVE(ctx context.Context, name string, q pveCall) (pveReply, error) {
	var reply pveReply
	if !l.o.PVE {
		return reply, nil
	}
	body, err := json.Marshal(q)
	if err != nil {
		return reply, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://pve/"+name, bytes.NewReader(body))
	if err != nil {
		return reply, err
	}
	response, err := (&http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", l.pveControlPath())
		},
	}}).Do(request)
	if err != nil {
		return reply, fmt.Errorf("tell Proxmox VE of the lab (%s): %w", name, err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		return reply, fmt.Errorf("tell Proxmox VE of the lab (%s): %s: %w", name, response.Status, err)
	}
	switch {
	case reply.Interrupted:
		return reply, pvefake.ErrInterrupted
	case reply.Error != "":
		return reply, errors.New(strings.TrimPrefix(reply.Error, "pvefake: "))
	}
	return reply, nil
}
