package transport

import (
	"context"
	"fmt"
)

// A WriteError is a write that was tried where only reads are allowed. It was not sent.
type WriteError struct{ Node, What string }

func (e *WriteError) Error() string {
	return fmt.Sprintf("%s: %s is a write, and this run may only read", e.Node, e.What)
}

// ReadOnly lets only reads pass to s.
func ReadOnly(s Set) Set { return readOnly{s} }

type readOnly struct{ Set }

// API implements Set.
func (r readOnly) API(node string) API { return readAPI{r.Set.API(node), node} }

// Shell implements Set.
func (r readOnly) Shell(node string) Shell { return readShell{r.Set.Shell(node), node} }

type readAPI struct {
	API
	node string
}

func (r readAPI) Post(_ context.Context, path string, _ Params, _ any) error {
	return &WriteError{r.node, "POST " + path}
}

func (r readAPI) Put(_ context.Context, path string, _ Params, _ any) error {
	return &WriteError{r.node, "PUT " + path}
}

func (r readAPI) Delete(_ context.Context, path string, _ any) error {
	return &WriteError{r.node, "DELETE " + path}
}

type readShell struct {
	Shell
	node string
}

func (r readShell) Run(ctx context.Context, c Command) (Output, error) {
	if !c.Reads() {
		return Output{}, &WriteError{r.node, "`" + c.String() + "`"}
	}
	return r.Shell.Run(ctx, c)
}
