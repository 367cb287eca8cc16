package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
)

// pvesh is the API of a node through its command line tool, which works as root@pam without a login.
type pvesh struct{ shell Shell }

// secretParams are never given on a command line, where every user of the node can read them.
var secretParams = []string{"password", "keyring", "encryption-key"}

func (p pvesh) Get(ctx context.Context, path string, out any) error {
	return p.run(ctx, http.MethodGet, "get", path, nil, out)
}

func (p pvesh) Post(ctx context.Context, path string, params Params, out any) error {
	return p.run(ctx, http.MethodPost, "create", path, params, out)
}

func (p pvesh) Put(ctx context.Context, path string, params Params, out any) error {
	return p.run(ctx, http.MethodPut, "set", path, params, out)
}

func (p pvesh) Delete(ctx context.Context, path string, out any) error {
	return p.run(ctx, http.MethodDelete, "delete", path, nil, out)
}

func (p pvesh) run(ctx context.Context, method, verb, path string, params Params, out any) error {
	c, err := pveshCommand(verb, path, params)
	if err != nil {
		return err
	}
	o, err := p.shell.Run(ctx, c)
	if err != nil {
		return asAPIError(method, path, err)
	}
	if out == nil {
		return nil
	}
	// A task writes its log before its UPID: what is asked for is the last line.
	text := strings.TrimSpace(o.Stdout)
	if i := strings.LastIndexByte(text, '\n'); i >= 0 && !json.Valid([]byte(text)) {
		text = text[i+1:]
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return &pve.Error{Kind: pve.Type, Method: method, Path: path, Sent: true, Text: "pvesh wrote no JSON: " + err.Error()}
	}
	return nil
}

func pveshCommand(verb, path string, params Params) (Command, error) {
	path, query, _ := strings.Cut(path, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return Command{}, fmt.Errorf("path %s: %w", path, err)
	}
	argv := []string{"pvesh", verb, path}
	for _, k := range slices.Sorted(keys(values)) {
		argv = append(argv, "--"+k, values.Get(k))
	}
	wire := params.wire()
	for _, k := range params.Names() {
		if slices.Contains(secretParams, k) {
			return Command{}, fmt.Errorf("%s needs the secret parameter %s, which pvesh would show to every user of the node; use --transport api", path, k)
		}
		argv = append(argv, "--"+k, fmt.Sprint(wire[k]))
	}
	return Command{Argv: append(argv, "--output-format", "json")}, nil
}

func keys(v url.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range v {
			if !yield(k) {
				return
			}
		}
	}
}

var (
	missingProperty = regexp.MustCompile(`(?m)^(400 )?(Parameter verification failed|not enough arguments)`)
	noSuchMethod    = regexp.MustCompile(`(?m)^No '\w+' handler defined for`)
)

// asAPIError gives the failure of pvesh the form that the API's own refusals have.
func asAPIError(method, path string, err error) error {
	var ce *CommandError
	if !errors.As(err, &ce) {
		return err
	}
	e := &pve.Error{Kind: pve.Server, Status: 500, Method: method, Path: path, Sent: true, Text: strings.TrimSpace(ce.Stderr)}
	switch {
	case missingProperty.MatchString(e.Text):
		e.Kind, e.Status = pve.Client4xx, 400
	case noSuchMethod.MatchString(e.Text):
		e.Kind, e.Status = pve.NotImplemented, 501
	case strings.Contains(e.Text, "no quorum"):
		e.Kind = pve.NoQuorum
	}
	return fmt.Errorf("%s: %w", ce.Node, e)
}
