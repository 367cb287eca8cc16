package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/steps"
	"github.com/quorate/quorate/provision/verify"
)

// Apply makes the cluster what the file says and returns the exit code. want, when not nil, is a plan
// that was made before and must still hold.
func (s *Session) Apply(ctx context.Context, want *engine.Plan) (code int, err error) {
	dir, err := engine.OpenRunDir(s.StateDir, s.Spec.Metadata.Name, s.Clock.Now(), s.Redact)
	if err != nil {
		return engine.ExitError, err
	}
	defer func() {
		if cerr := dir.Close(); cerr != nil && err == nil {
			code, err = engine.ExitError, cerr
		}
	}()
	p, err := s.plan(ctx)
	if err != nil {
		return s.code(err, false), s.clean(err)
	}
	if s.Format == FormatText {
		if err := s.show(p); err != nil {
			return engine.ExitError, err
		}
	}
	if err := s.may(p, want); err != nil {
		return s.code(err, false), s.clean(err)
	}
	var kept bytes.Buffer
	if err := s.save(p, &kept); err != nil {
		return engine.ExitError, err
	}
	dir.Keep("plan.json", kept.Bytes())
	if s.Confirm == nil && want == nil {
		// Nobody agreed to just this plan: what a task of an earlier run does meanwhile is no matter.
		p = nil
	}
	res, err := s.run(ctx, p, dir)
	if cerr := s.clean(err); err != nil {
		return s.code(err, res.Changed > 0), fmt.Errorf("%w (record of the run: %s)", cerr, dir.Path)
	}
	return s.after(ctx, res)
}

// may says whether the plan may be carried out.
func (s *Session) may(p, want *engine.Plan) error {
	if err := p.Blocked(); err != nil {
		return err
	}
	if want != nil {
		if err := want.Same(p); err != nil {
			return err
		}
	}
	if p.Writes() == 0 || s.Confirm == nil || want != nil {
		return nil
	}
	yes, err := s.Confirm("Apply this plan to " + p.Cluster + "?")
	if err != nil {
		return err
	}
	if !yes {
		return errors.New("not confirmed, nothing was changed")
	}
	return nil
}

func (s *Session) run(ctx context.Context, p *engine.Plan, dir *engine.RunDir) (*engine.Result, error) {
	record := engine.NewRecorder(dir.Events(), s.Redact)
	tell := []func(engine.Event){record.Tell}
	switch s.Format {
	case FormatText:
		printer := engine.NewPrinter(s.Err, s.Redact, s.Terminal)
		printer.Verbose, printer.Percent = s.Verbose, true
		defer printer.Close()
		tell = append(tell, printer.Tell)
	case FormatJSONL:
		tell = append(tell, engine.NewRecorder(s.Out, s.Redact).Tell)
	}
	opt := s.options(func(e engine.Event) {
		for _, t := range tell {
			t(e)
		}
	}, dir.Keep)
	res, err := engine.Apply(ctx, steps.All(s.env(s.Nodes)), p, opt)
	return res, errors.Join(err, record.Err())
}

// after is what follows a run that went well: a look at whether all is in fact well.
func (s *Session) after(ctx context.Context, res *engine.Result) (int, error) {
	if len(s.Options.Target) > 0 || len(s.Options.Nodes) > 0 {
		return s.sum(res, nil)
	}
	r := verify.Run(ctx, s.env(s.Nodes), verify.Options{Now: s.Clock.Now})
	if code, err := s.sum(res, &r); err != nil {
		return code, err
	}
	if !r.OK() {
		return engine.ExitVerify, errors.New("applied, but the cluster is not as it should be; see the failed checks")
	}
	return engine.ExitOK, nil
}

// sum writes what the run did.
func (s *Session) sum(res *engine.Result, r *verify.Report) (int, error) {
	out := writer{s.Out, s.Redact}
	var err error
	switch s.Format {
	case FormatText:
		if r != nil {
			err = r.WriteText(out)
		}
		if err == nil {
			_, err = fmt.Fprintf(out, "%s in %s\n", res.Summary(), res.Took.Round(1e9))
		}
	case FormatJSON:
		err = writeJSON(out, map[string]any{"changed": res.Changed, "done": res.Done, "warnings": res.Warnings, "seconds": res.Took.Seconds(), "verify": r})
	case FormatJSONL:
		b, merr := json.Marshal(map[string]any{"event": "verify", "report": r})
		if err = merr; err == nil {
			_, err = out.Write(append(b, '\n'))
		}
	}
	if err != nil {
		return engine.ExitError, err
	}
	return engine.ExitOK, nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Verify looks whether the cluster is well and as the file says, and returns the exit code.
func (s *Session) Verify(ctx context.Context, accept []string) (int, error) {
	nodes, err := s.connectForVerify(ctx)
	if err != nil {
		return s.code(err, false), s.clean(err)
	}
	r := verify.Run(ctx, nodes, verify.Options{Accept: accept, Now: s.Clock.Now})
	out := writer{s.Out, s.Redact}
	switch s.Format {
	case FormatJSON, FormatJSONL:
		err = r.WriteJSON(out)
	case FormatJUnit:
		err = r.WriteJUnit(out)
	default:
		err = r.WriteText(out)
	}
	if err != nil {
		return engine.ExitError, err
	}
	if !r.OK() {
		return engine.ExitVerify, nil
	}
	return engine.ExitOK, nil
}
