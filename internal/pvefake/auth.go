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

type authState struct {
	key   []byte // signs tickets; a join replaces it
	users map[string]*user
	roles map[string]string // role to comma separated privileges
	acl   []aclEntry
}

type user struct {
	password string
	disabled bool
	expire   int64
	tokens   map[string]*apiToken
}

type apiToken struct {
	secret  string
	privsep bool
	expire  int64
}

// identity is who asks: a user by ticket, or one of the user's tokens.
type identity struct {
	user, token string
	privsep     bool
}

func (i identity) name() string {
	if i.token == "" {
		return i.user
	}
	return i.user + "!" + i.token
}

func newAuthState(rootPassword string, v Version, rnd *rand.Rand) authState {
	return authState{
		key: newKey(rnd), users: map[string]*user{"root@pam": {password: rootPassword, tokens: map[string]*apiToken{}}},
		roles: rolesOf(v),
	}
}

func newKey(rnd *rand.Rand) []byte {
	key := make([]byte, 20)
	for i := range key {
		key[i] = byte(rnd.Uint32())
	}
	return key
}

func (c *Cluster) sign(text string) string {
	m := hmac.New(sha1.New, c.auth.key)
	m.Write([]byte(text))
	return base64.RawStdEncoding.EncodeToString(m.Sum(nil))
}

func (c *Cluster) newTicket(user string) (ticket, csrf string) {
	plain := fmt.Sprintf("PVE:%s:%08X", user, c.unix())
	return plain + "::" + c.sign(plain), c.newCSRF(user, c.unix())
}

func (c *Cluster) newCSRF(user string, at int64) string {
	stamp := fmt.Sprintf("%08X", at)
	return stamp + ":" + c.sign("csrf:"+stamp+":"+user)
}

func unauthorized(text string) *apiError {
	e := fail(401, text)
	e.empty, e.after = true, unauthorizedWait
	return e
}

// authenticate reads the ticket or token of a request; a write by ticket needs the CSRF token too.
func (c *Cluster) authenticate(req *http.Request) (identity, error) {
	if v, ok := strings.CutPrefix(req.Header.Get("Authorization"), "PVEAPIToken="); ok {
		return c.checkToken(v)
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
	name, ok := c.checkTicket(ticket)
	if !ok {
		return identity{}, unauthorized("Authentication failed!")
	}
	if req.Method != http.MethodGet && !c.checkCSRF(name, req.Header.Get("CSRFPreventionToken")) {
		return identity{}, unauthorized("Permission denied - invalid csrf token")
	}
	return identity{user: name}, nil
}

func (c *Cluster) checkTicket(ticket string) (string, bool) {
	plain, sig, ok := strings.Cut(ticket, "::")
	if !ok || !hmac.Equal([]byte(sig), []byte(c.sign(plain))) {
		return "", false
	}
	parts := strings.Split(plain, ":")
	if len(parts) != 3 || parts[0] != "PVE" {
		return "", false
	}
	at, err := strconv.ParseInt(parts[2], 16, 64)
	if err != nil || c.since(time.Unix(at, 0)) > ticketLifetime || !c.usable(parts[1]) {
		return "", false
	}
	return parts[1], true
}

func (c *Cluster) checkCSRF(name, token string) bool {
	stamp, _, ok := strings.Cut(token, ":")
	if !ok {
		return false
	}
	at, err := strconv.ParseInt(stamp, 16, 64)
	if err != nil || c.since(time.Unix(at, 0)) > ticketLifetime {
		return false
	}
	return hmac.Equal([]byte(token), []byte(c.newCSRF(name, at)))
}

// checkToken reads "user@realm!id=secret" (some clients write a colon).
func (c *Cluster) checkToken(v string) (identity, error) {
	failed := unauthorized("Authentication failed!")
	full, secret, ok := strings.Cut(v, "=")
	if !ok {
		full, secret, ok = strings.Cut(v, ":")
	}
	name, id, ok2 := strings.Cut(full, "!")
	if !ok || !ok2 || !c.usable(name) {
		return identity{}, failed
	}
	t := c.auth.users[name].tokens[id]
	if t == nil || t.secret != secret || t.expire != 0 && t.expire < c.unix() {
		return identity{}, failed
	}
	return identity{user: name, token: id, privsep: t.privsep}, nil
}

func (c *Cluster) usable(name string) bool {
	u := c.auth.users[name]
	return u != nil && !u.disabled && (u.expire == 0 || u.expire >= c.unix())
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
