package session

import (
	"context"

	"github.com/quorate/quorate/provision/steps"
	"github.com/quorate/quorate/provision/transport"
)

// connectForVerify is not as strict as for plan: that one node is down is for the report to say, as
// long as any answers.
func (s *Session) connectForVerify(ctx context.Context) (*steps.Env, error) {
	e := s.env(transport.ReadOnly(s.Nodes))
	err := e.Connect(ctx, false)
	if err == nil {
		return e, nil
	}
	if _, qerr := e.Quorum(ctx); qerr == nil {
		return e, nil
	}
	return nil, err
}
