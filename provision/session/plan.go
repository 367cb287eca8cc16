package session

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/steps"
)

// Plan shows what apply would do. It writes the plan to file as well, if that is not nil, and returns
// the exit code; detailed makes that 2 when there is something to do.
func (s *Session) Plan(ctx context.Context, file io.Writer, detailed bool) (int, error) {
	p, err := s.plan(ctx)
	if err != nil {
		return s.code(err, false), s.clean(err)
	}
	if err := s.show(p); err != nil {
		return engine.ExitError, err
	}
	if file != nil {
		if err := s.save(p, file); err != nil {
			return engine.ExitError, err
		}
	}
	if err := p.Blocked(); err != nil {
		return s.code(err, false), s.clean(err)
	}
	if detailed && p.Writes() > 0 {
		return engine.ExitChanges, nil
	}
	return engine.ExitOK, nil
}

func (s *Session) plan(ctx context.Context) (*engine.Plan, error) {
	nodes, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	return engine.MakePlan(ctx, steps.All(s.env(nodes)), s.options(nil, nil))
}

func (s *Session) show(p *engine.Plan) error {
	out := writer{s.Out, s.Redact}
	var b bytes.Buffer
	var err error
	if s.Format == FormatText {
		err = p.WriteText(&b, s.Colour)
	} else {
		err = p.WriteJSON(&b)
	}
	if err != nil {
		return err
	}
	_, err = out.Write(b.Bytes())
	return err
}

// save writes the plan for apply, which checks its hash: it holds no secret to begin with.
func (s *Session) save(p *engine.Plan, file io.Writer) error {
	var b bytes.Buffer
	if err := p.WriteJSON(&b); err != nil {
		return err
	}
	if s.Redact.Clean(b.String()) != b.String() {
		return fmt.Errorf("the plan is not written, because it holds a secret; this is a fault of quorate, please report it")
	}
	_, err := file.Write(b.Bytes())
	return err
}
