package provisionproof

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/quorate/quorate/provision/transport"
)

// A request is one call of the API, with its parameters as text as the server reads them.
type request struct {
	method, path string
	params       map[string]string
	failed       bool
}

func (r request) String() string { return r.method + " " + r.path }

// wire stands between a run and the nodes and notes every call of the API.
type wire struct {
	transport.Set
	mu  sync.Mutex
	all []request
}

func (w *wire) API(node string) transport.API { return wired{w.Set.API(node), w} }

func (w *wire) note(method, path string, params map[string]string, err error) {
	path, query, _ := strings.Cut(path, "?")
	if params == nil {
		params = map[string]string{}
	}
	for _, kv := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' }) {
		k, v, _ := strings.Cut(kv, "=")
		params[k] = v
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, request{method, path, params, err != nil})
}

type wired struct {
	transport.API
	w *wire
}

func texts(p transport.Params) map[string]string {
	out := map[string]string{}
	for k, v := range maps.All(p) {
		switch v {
		case true:
			v = 1
		case false:
			v = 0
		}
		out[k] = fmt.Sprint(v)
	}
	return out
}

func (a wired) Get(ctx context.Context, path string, out any) error {
	err := a.API.Get(ctx, path, out)
	a.w.note("GET", path, nil, err)
	return err
}

func (a wired) Post(ctx context.Context, path string, p transport.Params, out any) error {
	err := a.API.Post(ctx, path, p, out)
	a.w.note("POST", path, texts(p), err)
	return err
}

func (a wired) Put(ctx context.Context, path string, p transport.Params, out any) error {
	err := a.API.Put(ctx, path, p, out)
	a.w.note("PUT", path, texts(p), err)
	return err
}

func (a wired) Delete(ctx context.Context, path string, out any) error {
	err := a.API.Delete(ctx, path, out)
	a.w.note("DELETE", path, nil, err)
	return err
}
