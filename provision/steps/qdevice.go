package steps

import (
	"context"
	"fmt"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// qdeviceStep gives an even number of nodes a tie-breaker. There is no API to set one up.
type qdeviceStep struct{ *Env }

func (*qdeviceStep) ID() engine.ID      { return idQDevice }
func (*qdeviceStep) Title() string      { return "the vote of a qdevice" }
func (*qdeviceStep) Needs() []engine.ID { return []engine.ID{idJoin} }

func (s *qdeviceStep) declared() bool {
	q := s.want().Corosync.QDevice
	return q != "" && q != "none"
}

func (s *qdeviceStep) Observe(ctx context.Context) (engine.Observed, error) {
	if !s.declared() {
		return "", nil
	}
	m, err := s.member(ctx)
	if err != nil || m.Name == "" {
		return "", err
	}
	// The same keys as in corosync-qdevice-tool's output; {} without a qdevice.
	var q map[string]any
	if err := s.Nodes.API(m.Node).Get(ctx, "/cluster/config/qdevice", &q); err != nil {
		return nil, err
	}
	host, _ := q["QNetd host"].(string)
	return host, nil
}

func (s *qdeviceStep) Diff(have engine.Observed) []engine.Change {
	if !s.declared() {
		return nil
	}
	want, is := s.want().Corosync.QDevice, have.(string)
	switch {
	case is == "":
		return []engine.Change{{Path: "qdevice", To: want, Action: engine.Create, Risk: engine.Low}}
	case hostOnly(is) != want:
		return []engine.Change{{Path: "qdevice", From: is, To: want, Action: engine.Forbidden, Note: "remove the other with `pvecm qdevice remove` first"}}
	}
	return nil
}

// hostOnly takes off the port.
func hostOnly(s string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == ':' {
			return s[:i]
		}
	}
	return s
}

func (s *qdeviceStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	m, err := s.member(ctx)
	if err != nil {
		return err
	}
	for _, n := range s.names() {
		report.Progress(n, "installing corosync-qdevice")
		if _, err := s.Nodes.Shell(n).Run(ctx, transport.InstallPackages("corosync-qdevice")); err != nil {
			return err
		}
	}
	if _, err := s.Nodes.Shell(m.Node).Run(ctx, transport.SetUpQDevice(c.To)); err != nil {
		return &engine.Advice{Node: m.Node, Err: err, Do: fmt.Sprintf("install corosync-qnetd on %s and let root log in there by key, then run apply again", c.To)}
	}
	return nil
}

func (s *qdeviceStep) Wait(context.Context, engine.Reporter) error { return nil }
