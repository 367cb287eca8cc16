package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/common/model"
)

const (
	exporterName   = "exporter"
	prometheusName = "prometheus"
	prometheusPath = "/usr/bin/prometheus" // Debian's
	answerLimit    = 20 * time.Second
)

// ExporterOptions say how an exporter runs on a node.
type ExporterOptions struct {
	Binary string   // started as: BINARY serve --web.systemd-socket ARGS…
	Args   []string // more arguments
	Listen string   // address on the machine, e.g. 127.0.0.1:19921
}

// StartExporter runs an exporter inside a node that is scraped on the machine: the lab opens the
// socket and hands it over by systemd socket activation. It returns when the exporter answers HTTP.
// It is part of the node: node-down takes it along.
func (l *Lab) StartExporter(ctx context.Context, node int, o ExporterOptions) error {
	binary, err := filepath.Abs(o.Binary)
	if err != nil {
		return err
	}
	err = l.StartDaemon(ctx, Daemon{Node: node, Name: exporterName, Listen: o.Listen,
		Argv: append([]string{binary, "serve", "--web.systemd-socket"}, o.Args...)})
	if err != nil {
		return err
	}
	return l.waitAnswer(ctx, node, exporterName, "http://"+o.Listen+"/", func(int) bool { return true })
}

// PrometheusOptions say how Prometheus runs.
type PrometheusOptions struct {
	Listen     string // e.g. 127.0.0.1:19090
	ConfigFile string
	DataDir    string // empty: below the lab's directory
	Pace       Pace   // of the rules in it; what has no place in the configuration file follows
}

// Prometheus's own defaults of what only its command line sets.
const (
	defaultLookback    = 5 * time.Minute
	defaultResendDelay = time.Minute // after which a firing alert is sent to Alertmanager again
)

// StartPrometheus runs Prometheus on the machine itself, and returns when it is ready.
func (l *Lab) StartPrometheus(ctx context.Context, o PrometheusOptions) error {
	if o.DataDir == "" {
		o.DataDir = filepath.Join(l.NodeDir(0), prometheusName)
	}
	if err := os.MkdirAll(o.DataDir, 0o755); err != nil {
		return err
	}
	err := l.StartDaemon(ctx, Daemon{Name: prometheusName, Argv: []string{prometheusPath,
		"--config.file=" + o.ConfigFile, "--storage.tsdb.path=" + o.DataDir, "--web.listen-address=" + o.Listen,
		"--query.lookback-delta=" + model.Duration(o.Pace.Of(defaultLookback)).String(),
		"--rules.alert.resend-delay=" + model.Duration(o.Pace.Of(defaultResendDelay)).String()}})
	if err != nil {
		return err
	}
	return l.waitAnswer(ctx, 0, prometheusName, "http://"+o.Listen+"/-/ready", func(code int) bool { return code == http.StatusOK })
}

// waitAnswer returns when a daemon answers with a good status code. One that does not is stopped.
func (l *Lab) waitAnswer(ctx context.Context, node int, name, url string, good func(code int) bool) error {
	err := poll(ctx, answerLimit, 50*time.Millisecond, func() error {
		if !l.Running(node, name) {
			return permanent(errors.New("it ended"))
		}
		code, err := ask(ctx, url)
		if err == nil && !good(code) {
			err = fmt.Errorf("%s answers with HTTP %d", url, code)
		}
		return err
	})
	if err == nil {
		return nil
	}
	r, _ := l.record(node, name)
	text, _ := os.ReadFile(r.Log)
	return errors.Join(
		fmt.Errorf("%s does not answer: %w (its last words: %s)", l.daemonName(node, name), err, lastLine(string(text))),
		l.StopDaemon(context.WithoutCancel(ctx), node, name, syscall.SIGKILL))
}

// ask asks a daemon of this machine for a page and returns the status code of its answer.
func ask(ctx context.Context, url string) (code int, err error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
