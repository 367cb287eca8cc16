package pvetranscripts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
)

// requestTime bounds one request.
const requestTime = 20 * time.Second

func newHTTP(c *pvefake.Cluster) (*http.Client, *http.Transport) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.CAPEM())
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: c.Dial, DisableKeepAlives: true}
	return &http.Client{Transport: t, Timeout: requestTime}, t
}

// answer is what came back; a status of 0 means that nothing did.
type answer struct {
	status int
	reason string
	body   any
}

// upid is the task that the answer names, "" if none.
func (a answer) upid() string {
	o, ok := a.body.(map[string]any)
	if !ok {
		return ""
	}
	if s, ok := o["data"].(string); ok && strings.HasPrefix(s, "UPID:") {
		return s
	}
	return ""
}

// send makes one request to a node.
func (l *lab) send(ctx context.Context, via int, h http.Header, method, path, encoding string, params any, raw string) (answer, error) {
	u := fmt.Sprintf("https://pve%d:8006", via)
	if !strings.HasPrefix(path, "/api2/") {
		u += "/api2/json"
	}
	u += path
	body, contentType := "", ""
	form, isForm := params.(url.Values)
	switch {
	case raw != "":
		body, contentType = raw, "application/json"
	case encoding == "json":
		b, err := json.Marshal(params)
		if err != nil {
			return answer{}, err
		}
		body, contentType = string(b), "application/json"
	case isForm && (method == http.MethodGet || method == http.MethodDelete) && len(form) > 0:
		u += "?" + form.Encode()
	case isForm:
		body, contentType = form.Encode(), "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequestWithContext(ctx, method, u, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for k, v := range h {
		req.Header[k] = v
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := l.http.Do(req)
	var refused *net.OpError
	if errors.As(err, &refused) {
		return answer{}, nil // as a client of the real one got no answer
	}
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	_, reason, _ := strings.Cut(resp.Status, " ")
	a := answer{status: resp.StatusCode, reason: reason}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &a.body); err != nil {
			return a, fmt.Errorf("%s %s: the body is no JSON: %w", method, path, err)
		}
	}
	return a, nil
}

// ticket logs in at a node.
func (l *lab) ticket(via int, user, password string) (http.Header, error) {
	a, err := l.send(context.Background(), via, nil, "POST", "/access/ticket", "form", url.Values{"username": {user}, "password": {password}}, "")
	if err != nil || a.status != 200 {
		return nil, err
	}
	data := a.body.(map[string]any)["data"].(map[string]any)
	return http.Header{
		"Cookie":              {"PVEAuthCookie=" + url.QueryEscape(data["ticket"].(string))},
		"Csrfpreventiontoken": {data["CSRFPreventionToken"].(string)},
	}, nil
}

// header returns the headers for a record's auth. Tickets are made when they are needed, and again after
// a state in which they died.
func (l *lab) header(r record, via int) (http.Header, error) {
	key := r.Auth
	user, isTicket := strings.CutPrefix(r.Auth, "ticket ")
	if !isTicket {
		return l.headers[key], nil
	}
	key += " " + strconv.Itoa(via)
	if h := l.headers[key]; h != nil {
		if a, err := l.send(context.Background(), via, h, "GET", "/version", "none", nil, ""); err == nil && a.status != 401 {
			return h, nil
		}
	}
	password := map[string]string{"root@pam": rootPassword, "nobody@pve": "nobody-pass"}[user]
	h, err := l.ticket(via, user, password)
	if h != nil {
		l.headers[key] = h
	}
	return h, err
}

// badHeader makes the header of a case whose own was redacted, from the name of the case.
func (l *lab) badHeader(r record) (http.Header, error) {
	good, err := l.ticket(1, "root@pam", rootPassword)
	if err != nil {
		return nil, err
	}
	cookie, csrf := good["Cookie"], http.Header{}
	switch {
	case strings.Contains(r.Step, "garbage"):
		return http.Header{"Cookie": {"PVEAuthCookie=garbage"}}, nil
	case strings.Contains(r.Step, "signature"):
		return http.Header{"Cookie": {cookie[0] + "AAAA"}}, nil
	case strings.Contains(r.Step, "missing CSRF"):
		csrf["Cookie"] = cookie
		return csrf, nil
	case strings.Contains(r.Step, "CSRF"):
		return http.Header{"Cookie": cookie, "Csrfpreventiontoken": {"00000000:wrong"}}, nil
	case strings.Contains(r.Step, "Bearer"):
		return http.Header{"Authorization": {"Bearer abc"}}, nil
	case strings.Contains(r.Step, "token malformed"):
		return http.Header{"Authorization": {"PVEAPIToken=malformed"}}, nil
	case strings.Contains(r.Step, "token"):
		return http.Header{"Authorization": {"PVEAPIToken=nobody@nowhere!x=00000000-0000-0000-0000-000000000000"}}, nil
	}
	return nil, nil
}

// taskLimit is how long a task may take on the virtual clock; the recordings waited as long.
const taskLimit = 45 * time.Second

// finish waits for a task on the virtual clock; "" means that it still runs.
func (l *lab) finish(ctx context.Context, upid string) (string, error) {
	node := strings.Split(upid, ":")[1]
	for range int(taskLimit / time.Second) {
		exit, done := l.c.TaskStatus(upid)
		if done {
			return exit, nil
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		l.c.Advance(time.Second)
	}
	if exit, done := l.c.TaskStatus(upid); done {
		return exit, nil
	}
	return "", fmt.Errorf("task %s of %s has not ended within %s", upid, node, taskLimit)
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
