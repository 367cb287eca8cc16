package pvefake

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// apiPath splits /api2/FORMAT/PATH; the format is "" for what is no path of the API.
func apiPath(uri string) (path, format string) {
	rest, ok := strings.CutPrefix(uri, "/api2/")
	if !ok {
		return uri, ""
	}
	format, path, _ = strings.Cut(rest, "/")
	return "/" + path, format
}

// renderExtJS is the form the GUI uses: always 200, with the status inside.
func renderExtJS(data any, err error) reply {
	o := obj{"data": data, "success": 1}
	if err != nil {
		e, ok := err.(*apiError)
		if !ok {
			e = fail(500, err.Error())
		}
		o = obj{"data": nil, "success": 0, "status": e.status, "message": e.message + "\n"}
		if e.errors != nil {
			o["errors"] = toObj(e.errors)
		}
	}
	return reply{status: 200, reason: "OK", body: encode(o)}
}

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
	path, format := apiPath(req.URL.Path)
	rec := Call{Node: n.id, Method: req.Method, Path: path, Query: req.URL.RawQuery, ReceivedAt: c.now}
	rule := c.matchRule(n, req.Method, path, req.URL.RawQuery)
	if rule != nil && rule.early() {
		c.countRequest()
		rec.Status = rule.Status
		c.record(rec)
		return rule.reply()
	}
	data, more, id, err := c.dispatch(n, req, path, body)
	r := render(data, more, err)
	if format == "extjs" {
		r = renderExtJS(data, err)
	}
	rec.Status, rec.Identity = r.status, id.name()
	c.record(rec)
	if rule != nil {
		rule.change(&r)
	}
	if c.countRequest() {
		r.fault = &Rule{LoseReply: true}
	}
	return r
}

// dispatch is the stack of layers; more is what a few replies have beside "data".
func (c *Cluster) dispatch(n *node, req *http.Request, path, body string) (data any, more obj, id identity, err error) {
	if _, format := apiPath(req.URL.Path); format != "json" && format != "extjs" {
		if format == "" {
			return nil, nil, id, notImplemented("no such uri")
		}
		return nil, nil, id, notImplemented("no formatter for uri " + path + ", " + format).bare()
	}
	m, vars := c.methods.find(req.Method, path)
	world := m != nil && m.perm == "world"
	if n.locked { // its users are being replaced
		if world {
			e := fail(401, "authentication failure")
			e.after = unauthorizedWait
			return nil, nil, id, e
		}
		return nil, nil, id, unauthorized("Authentication failed!")
	}
	if !world {
		if id, err = n.auth().authenticate(req); err != nil {
			return nil, nil, id, err
		}
	}
	if m == nil {
		return nil, nil, id, unknownMethod(req.Method, path)
	}
	params, bad, err := collectParams(req, body, vars)
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
	if err := m.check(params, bad); err != nil {
		return nil, nil, id, err
	}
	q := &call{c: c, via: n, n: target, m: m, params: params, id: id}
	data, err = m.handle(q)
	switch t := data.(type) {
	case counted:
		// An empty list comes without its count.
		if t.total > 0 {
			return t.rows, obj{"total": t.total}, id, err
		}
		return t.rows, nil, id, err
	case withMore:
		return t.data, t.more, id, err
	}
	return data, nil, id, err
}

// counted is a list whose reply also has "total".
type counted struct {
	rows  list
	total int
}

func collectParams(req *http.Request, body string, vars map[string]string) (params, bad map[string]string, err error) {
	params = map[string]string{}
	q, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, nil, fail(400, "bad query string")
	}
	for k, vs := range q {
		params[k] = strings.Join(vs, "\x00")
	}
	form, bad, err := decodeBody(req.Header.Get("Content-Type"), body)
	if err != nil {
		return nil, nil, err
	}
	for k, v := range form {
		params[k] = v
	}
	for k, text := range bad { // an object has no text; the check says so
		if _, ok := params[k]; !ok {
			params[k] = text
		}
	}
	for k, v := range vars {
		params[k] = v
	}
	return params, bad, nil
}

// route finds the node that answers. A name nobody has is looked up in DNS, a dead node refuses
// (pve-http-server src/PVE/APIServer/AnyEvent.pm proxy_request: 595 and its kin, no body).
func (c *Cluster) route(via *node, m *method, vars map[string]string) (*node, error) {
	if !m.onNode || vars["node"] == "localhost" {
		return via, nil
	}
	target := via.mate(vars["node"])
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
func render(data any, more obj, err error) reply {
	if err == nil {
		o := with(obj{"data": data}, more)
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
