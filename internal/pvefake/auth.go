package pvefake

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Facts of pve-access-control src/PVE/AccessControl.pm and pve-http-server: a ticket lives two hours,
// a CSRF token as long, and every 401 comes three seconds late.
const (
	ticketLifetime   = 2 * time.Hour
	unauthorizedWait = 3 * time.Second
)

// authState is user.cfg with what belongs to it: each pmxcfs has its own.
type authState struct {
	c     *Cluster
	key   []byte // signs tickets; a join replaces it
	users map[string]*user
	roles map[string]string // role to comma separated privileges
	acl   []aclEntry
}

type user struct {
	password, comment, email, first, last, keys, groups string
	disabled                                            bool
	expire                                              int64
	tokens                                              map[string]*apiToken
}

type apiToken struct {
	secret, comment string
	privsep         bool
	expire          int64
}

// identity is who asks: a user by ticket, or one of the user's tokens.
type identity struct {
	user, token string
	privsep     bool
	in          *authState // where the user is known
}

func (i identity) name() string {
	if i.token == "" {
		return i.user
	}
	return i.user + "!" + i.token
}

func newAuthState(c *Cluster) *authState {
	return &authState{
		c: c, key: newKey(c.rnd), users: map[string]*user{"root@pam": {password: c.opt.RootPassword, tokens: map[string]*apiToken{}}},
		roles: rolesOf(c.opt.Version),
	}
}

func newKey(rnd *rand.Rand) []byte {
	key := make([]byte, 20)
	for i := range key {
		key[i] = byte(rnd.Uint32())
	}
	return key
}

func (a *authState) sign(text string) string {
	m := hmac.New(sha1.New, a.key)
	m.Write([]byte(text))
	return base64.RawStdEncoding.EncodeToString(m.Sum(nil))
}

func (a *authState) newTicket(user string) (ticket, csrf string) {
	plain := fmt.Sprintf("PVE:%s:%08X", user, a.c.unix())
	return plain + "::" + a.sign(plain), a.newCSRF(user, a.c.unix())
}

func (a *authState) newCSRF(user string, at int64) string {
	stamp := fmt.Sprintf("%08X", at)
	return stamp + ":" + a.sign("csrf:"+stamp+":"+user)
}

func unauthorized(text string) *apiError {
	e := fail(401, text)
	e.empty, e.after = true, unauthorizedWait
	return e
}

// authenticate reads the ticket or token of a request; a write by ticket needs the CSRF token too.
func (a *authState) authenticate(req *http.Request) (identity, error) {
	if v, ok := strings.CutPrefix(req.Header.Get("Authorization"), "PVEAPIToken="); ok {
		return a.checkToken(v)
	}
	ticket := ""
	if ck, err := req.Cookie("PVEAuthCookie"); err == nil {
		ticket = ck.Value
		if un, err := url.QueryUnescape(strings.ReplaceAll(ticket, "+", "%2B")); err == nil {
			ticket = un
		}
	}
	if ticket == "" {
		return identity{}, unauthorized("No ticket")
	}
	name, ok := a.checkTicket(ticket)
	if !ok {
		return identity{}, unauthorized("Authentication failed!")
	}
	if req.Method != http.MethodGet && !a.checkCSRF(name, req.Header.Get("CSRFPreventionToken")) {
		return identity{}, unauthorized("Permission denied - invalid csrf token")
	}
	return identity{user: name, in: a}, nil
}

func (a *authState) checkTicket(ticket string) (string, bool) {
	plain, sig, ok := strings.Cut(ticket, "::")
	if !ok || !hmac.Equal([]byte(sig), []byte(a.sign(plain))) {
		return "", false
	}
	parts := strings.Split(plain, ":")
	if len(parts) != 3 || parts[0] != "PVE" {
		return "", false
	}
	at, err := strconv.ParseInt(parts[2], 16, 64)
	if err != nil || a.c.since(time.Unix(at, 0)) > ticketLifetime || !a.usable(parts[1]) {
		return "", false
	}
	return parts[1], true
}

func (a *authState) checkCSRF(name, token string) bool {
	stamp, _, ok := strings.Cut(token, ":")
	if !ok {
		return false
	}
	at, err := strconv.ParseInt(stamp, 16, 64)
	if err != nil || a.c.since(time.Unix(at, 0)) > ticketLifetime {
		return false
	}
	return hmac.Equal([]byte(token), []byte(a.newCSRF(name, at)))
}

// checkToken reads "user@realm!id=secret" (some clients write a colon).
func (a *authState) checkToken(v string) (identity, error) {
	failed := unauthorized("Authentication failed!")
	full, secret, ok := strings.Cut(v, "=")
	if !ok {
		full, secret, ok = strings.Cut(v, ":")
	}
	name, id, ok2 := strings.Cut(full, "!")
	if !ok || !ok2 || !a.usable(name) {
		return identity{}, failed
	}
	t := a.users[name].tokens[id]
	if t == nil || t.secret != secret || t.expire != 0 && t.expire < a.c.unix() {
		return identity{}, failed
	}
	return identity{user: name, token: id, privsep: t.privsep, in: a}, nil
}

func (a *authState) usable(name string) bool {
	u := a.users[name]
	return u != nil && !u.disabled && (u.expire == 0 || u.expire >= a.c.unix())
}

// AddUser makes a user such as "prometheus@pve"; an empty password forbids login.
func (c *Cluster) AddUser(name, password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auth.users[name] = &user{password: password, tokens: map[string]*apiToken{}}
}

// DisableUser makes a user's tickets and tokens invalid.
func (c *Cluster) DisableUser(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.auth.users[name]; u != nil {
		u.disabled = true
	}
}

// AddToken makes an API token of a user and returns what goes into the Authorization header after
// "PVEAPIToken=". With privsep the token has only the rights granted to "user!id".
func (c *Cluster) AddToken(userName, id string, privsep bool) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.auth.users[userName]
	if u == nil {
		return "", fmt.Errorf("pvefake: no user %q (AddUser first)", userName)
	}
	u.tokens[id] = &apiToken{secret: c.newUUID(), privsep: privsep}
	return userName + "!" + id + "=" + u.tokens[id].secret, nil
}

// ExpireToken ends a token one second before now.
func (c *Cluster) ExpireToken(userName, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.auth.users[userName]; u != nil && u.tokens[id] != nil {
		u.tokens[id].expire = c.unix() - 1
	}
}

// ReplaceAuthKey makes every ticket invalid, as a node's joining does.
func (c *Cluster) ReplaceAuthKey() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auth.key = newKey(c.rnd)
}

func (c *Cluster) newUUID() string {
	a, b := c.rnd.Uint64(), c.rnd.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0xfff, b&0xffffffffffff)
}
