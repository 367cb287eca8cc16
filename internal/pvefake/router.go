package pvefake

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const apiPrefix = "/api2/json"

// call is a request that has passed the router.
type call struct {
	c      *Cluster
	via    *node // received the request
	n      *node // answers it: the node of the path, or via
	m      *method
	params map[string]string
	id     identity
}

func (q *call) str(name string) string { return q.params[name] }
func (q *call) has(name string) bool   { _, ok := q.params[name]; return ok }
func (q *call) flag(name string) bool  { return truth(q.params[name]) }

func (q *call) num(name string, d int64) int64 {
	if v, ok := q.params[name]; ok {
		var n int64
		if _, err := fmt.Sscan(v, &n); err == nil {
			return n
		}
	}
	return d
}

// view is pmxcfs as the answering node sees it.
func (q *call) view() *cfs { return q.n.view() }

// answer runs one request through all layers.
func (n *node) answer(req *http.Request, body string) reply {
	c := n.c
	c.mu.Lock()
	defer c.mu.Unlock()
	path, _ := strings.CutPrefix(req.URL.Path, apiPrefix)
	rec := Call{Node: n.id, Method: req.Method, Path: path, Query: req.URL.RawQuery, ReceivedAt: c.now}
	rule := c.matchRule(n, req.Method, path, req.URL.RawQuery)
	if rule != nil && rule.early() {
		rec.Status = rule.Status
		c.record(rec)
		return rule.reply()
	}
	data, total, id, err := c.dispatch(n, req, path, body)
	r := render(data, total, err)
	rec.Status, rec.Identity = r.status, id.name()
	c.record(rec)
	if rule != nil {
		rule.change(&r)
	}
	return r
}

// dispatch is the stack of layers; total is set by methods that count.
func (c *Cluster) dispatch(n *node, req *http.Request, path, body string) (data any, total *int, id identity, err error) {
	if !strings.HasPrefix(req.URL.Path, apiPrefix+"/") {
		return nil, nil, id, notImplemented("no such uri")
	}
	m, vars := c.methods.find(req.Method, path)
	world := m != nil && m.perm == "world"
	if !world {
		if id, err = c.authenticate(req); err != nil {
			return nil, nil, id, err
		}
	}
	if m == nil {
		return nil, nil, id, unknownMethod(req.Method, path)
	}
	params, err := collectParams(req, body, vars)
	if err != nil {
		return nil, nil, id, err
	}
	target, err := c.route(n, m, vars)
	if err != nil {
		return nil, nil, id, err
	}
	if m.noToken && id.token != "" {
		return nil, nil, id, forbidden(fmt.Sprintf("Permission check failed (URI '%s' not available with API token, need proper ticket.\n)", path))
	}
	if err := c.permit(m, id, params); err != nil {
		return nil, nil, id, err
	}
	if err := m.check(params); err != nil {
		return nil, nil, id, err
	}
	q := &call{c: c, via: n, n: target, m: m, params: params, id: id}
	data, err = m.handle(q)
	if cd, ok := data.(counted); ok {
		return cd.rows, &cd.total, id, err
	}
	return data, nil, id, err
}

// counted is a list whose reply also has "total".
type counted struct {
	rows  list
	total int
}

func collectParams(req *http.Request, body string, vars map[string]string) (map[string]string, error) {
	params := map[string]string{}
	q, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, fail(400, "bad query string")
	}
	for k, vs := range q {
		params[k] = strings.Join(vs, "\x00")
	}
	form, bad, err := decodeBody(req.Header.Get("Content-Type"), body)
	if err != nil {
		return nil, err
	}
	for k, v := range form {
		params[k] = v
	}
	if len(bad) > 0 {
		return nil, invalid(bad)
	}
	for k, v := range vars {
		params[k] = v
	}
	return params, nil
}

// route finds the node that answers. A name nobody has is looked up in DNS, a dead node refuses
// (pve-http-server src/PVE/APIServer/AnyEvent.pm proxy_request: 595 and its kin, no body).
func (c *Cluster) route(via *node, m *method, vars map[string]string) (*node, error) {
	if !m.onNode || vars["node"] == "localhost" {
		return via, nil
	}
	target := c.nodeByName(vars["node"])
	switch {
	case target == nil:
		return nil, fail(500, fmt.Sprintf("hostname lookup '%[1]s' failed - failed to get address info for: %[1]s: Temporary failure in name resolution", vars["node"]))
	case target == via:
		return via, nil
	case !target.running():
		return nil, proxyFailure(595, "Connection refused", 0)
	case target.group != via.group:
		return nil, proxyFailure(596, "Connection timed out", 30*time.Second)
	}
	return target, nil
}

func notImplemented(text string) *apiError {
	e := fail(501, text)
	e.text = true
	return e
}

func unknownMethod(verb, path string) *apiError {
	switch verb {
	case "GET", "POST", "PUT", "DELETE":
		return notImplemented(fmt.Sprintf("Method '%s %s' not implemented", verb, path))
	}
	return notImplemented(fmt.Sprintf("method '%s' not available", verb))
}

// render makes the reply of a result or refusal.
func render(data any, total *int, err error) reply {
	if err == nil {
		o := obj{"data": data}
		// An empty list comes without its count.
		if total != nil && *total > 0 {
			o["total"] = *total
		}
		return reply{status: 200, reason: "OK", body: encode(o)}
	}
	e, ok := err.(*apiError)
	if !ok {
		e = fail(500, err.Error())
	}
	r := reply{status: e.status, reason: e.reason, after: e.after}
	if e.empty {
		return r
	}
	msg := e.message
	if !e.text {
		msg = strings.TrimSuffix(msg, "\n") + "\n"
	}
	o := obj{"data": nil, "message": msg}
	if e.errors != nil {
		o["errors"] = toObj(e.errors)
	}
	r.body = encode(o)
	return r
}

func toObj(m map[string]string) obj {
	o := obj{}
	for k, v := range m {
		o[k] = v
	}
	return o
}
