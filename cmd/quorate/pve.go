package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/pvedropin"
	"github.com/quorate/quorate/internal/source"
	"github.com/quorate/quorate/internal/source/pve"
)

// pveFlags say where Proxmox VE is.
type pveFlags struct {
	urls       *[]string
	tokenFile  *string
	tokenGiven bool
	caFile     *string
	etc        *string
	node       *string
	fullSets   *bool

	dropinConfig  *string
	dropinTargets *[]string
}

func (f *pveFlags) add(c *kingpin.CmdClause) {
	f.urls = c.Flag("pve.url", "Proxmox VE API of a node; repeat it for others of the same cluster.").
		Default("https://127.0.0.1:8006").Strings()
	f.tokenFile = c.Flag("pve.token-file", "File with an API token, USER@REALM!NAME=SECRET, that has the role PVEAuditor on /; without the default file the API is not asked.").
		Default("/etc/quorate/pve-token").IsSetByUser(&f.tokenGiven).String()
	f.caFile = c.Flag("pve.ca-file", "CA of the API's certificates; without the default file the system's.").
		Default("/etc/pve/pve-root-ca.pem").String()
	f.etc = c.Flag("pve.etc", "Where a Proxmox VE node has its cluster file system; without it this machine is no node.").
		Default("/etc/pve").String()
	f.node = c.Flag("pve.node", "Name of this node (default: the host name).").String()
	f.fullSets = c.Flag("collector.pve.full-state-sets", "All series of pve_lock_state for every guest, as prometheus-pve-exporter has them.").Bool()
	f.dropinConfig = c.Flag("pve.dropin.config", "pve.yml of prometheus-pve-exporter; turns on the page /pve, as do PVE_USER and the like in the environment.").String()
	f.dropinTargets = c.Flag("pve.dropin.target", "Host or host:port that /pve may be asked for; repeat it for others (default: this machine).").Strings()
}

// open opens what Proxmox VE has for the collectors that are on. What this machine does not have is
// left out, and its collectors with it.
func (f *pveFlags) open(s *sources, on func(collector string) bool, log *slog.Logger) error {
	client, err := f.client(s, log)
	if err != nil {
		return err
	}
	var files *pve.Files
	if info, err := os.Stat(*f.etc); err == nil && info.IsDir() {
		files = pve.NewFiles(*f.etc, time.Now)
	}
	if files != nil && on("pve-node") {
		s.PVENode = &collector.PVENodeSource{Files: files}
		s.statuses["pve-node"] = []func() source.Status{files.Status}
	}
	if client != nil {
		s.loops = append(s.loops, func(ctx context.Context) error { return client.WatchRights(ctx, log) })
		f.openAPI(s, client, files, on("pve"))
	}
	if on("ha") {
		f.openHA(s, client, files, log)
	}
	if on("tasks") && files != nil {
		return f.openTasks(s, log)
	}
	return nil
}

// client returns the API client, nil without a token.
func (f *pveFlags) client(s *sources, log *slog.Logger) (*pve.Client, error) {
	text, err := os.ReadFile(*f.tokenFile)
	if errors.Is(err, fs.ErrNotExist) && !f.tokenGiven {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the API token: %w", err)
	}
	id, secret, ok := strings.Cut(strings.TrimSpace(string(text)), "=")
	if !ok {
		return nil, fmt.Errorf("%s:1: not of the form USER@REALM!NAME=SECRET", *f.tokenFile)
	}
	ca := *f.caFile
	if _, err := os.Stat(ca); err != nil {
		ca = ""
	}
	c, err := pve.New(pve.Config{
		Endpoints: *f.urls,
		Auth:      pve.Auth{TokenID: id, TokenSecret: pve.NewSecret(secret)},
		TLS:       pve.TLSConfig{CAFile: ca},
		Log:       log,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, c)
	return c, nil
}

// openAPI gives the collectors pve and pve-node what the API says.
func (f *pveFlags) openAPI(s *sources, client *pve.Client, files *pve.Files, cluster bool) {
	if !cluster && s.PVENode == nil {
		return
	}
	var self func(context.Context) (string, error)
	if files != nil {
		self = func(ctx context.Context) (string, error) {
			members, err := files.Members(ctx)
			return members.NodeName, err
		}
	}
	facts := collector.NewPVEFacts(client, self, time.Now)
	s.loops = append(s.loops, facts.Run)
	if s.PVENode != nil {
		s.PVENode.API, s.PVENode.Facts = client, facts
	}
	if !cluster {
		s.statuses["pve-node"] = append(s.statuses["pve-node"], client.Status)
		return
	}
	// A source is shown by one collector only.
	s.PVE = &collector.PVESource{API: client, Facts: facts, FullStateSets: *f.fullSets}
	s.statuses["pve"] = []func() source.Status{client.Status}
}

// openHA reads the HA manager's files on a node, which answer when the API does not, else the API.
func (f *pveFlags) openHA(s *sources, client *pve.Client, files *pve.Files, log *slog.Logger) {
	var read pve.HAReadFunc
	switch {
	case files != nil:
		read = pve.HAFromFiles(os.DirFS(*f.etc), time.Now)
	case client != nil:
		read = pve.HAFromAPI(client.Get, time.Now)
	default:
		return
	}
	stats := source.NewStats("ha", nil)
	watch := pve.NewHAWatch(pve.HAConfig{Read: read, Stats: stats, Log: log})
	s.HA = watch
	s.statuses["ha"] = []func() source.Status{stats.Status}
	s.loops = append(s.loops, func(ctx context.Context) error { watch.Run(ctx); return nil })
}

func (f *pveFlags) openTasks(s *sources, log *slog.Logger) error {
	node := *f.node
	if node == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("the name of this node (give it by --pve.node): %w", err)
		}
		node, _, _ = strings.Cut(host, ".")
	}
	stats := source.NewStats("tasks", nil)
	watch := pve.NewTaskWatch(pve.TaskConfig{
		Node: node, Source: pve.TaskFiles{Root: os.DirFS("/")}, Replication: true, Stats: stats, Log: log, Now: time.Now,
	})
	s.Tasks = watch
	s.statuses["tasks"] = []func() source.Status{stats.Status}
	s.loops = append(s.loops, func(ctx context.Context) error { watch.Run(ctx); return nil })
	return nil
}

// page returns the page /pve, nil without a configuration for it.
func (f *pveFlags) page(s *sources, log *slog.Logger) (http.Handler, error) {
	if _, ok := os.LookupEnv("PVE_USER"); *f.dropinConfig == "" && !ok {
		return nil, nil
	}
	modules, err := pvedropin.Load(*f.dropinConfig, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	targets, err := pvedropin.ParseTargets(*f.dropinTargets)
	if err != nil {
		return nil, err
	}
	h, err := pvedropin.New(pvedropin.Config{Modules: modules, Targets: targets, Parts: collector.AllPVEParts(), Log: log})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, h)
	return h, nil
}
