package engine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A Redactor takes secrets out of whatever is to be shown or kept. It is safe for concurrent use.
type Redactor struct {
	mu      sync.RWMutex
	secrets []string
}

// shortest is the length from which a secret is looked for: a shorter one would blacken half a text,
// and protects nothing.
const shortest = 4

// Add makes s one of the secrets, as it is and as it looks in JSON and in a URL.
func (r *Redactor) Add(s string) {
	s = strings.TrimSpace(s)
	if len(s) < shortest {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, form := range append(inJSON(s), s, url.QueryEscape(s), url.PathEscape(s)) {
		if !slices.Contains(r.secrets, form) {
			r.secrets = append(r.secrets, form)
		}
	}
	// The longest first: one may be part of another.
	slices.SortFunc(r.secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// inJSON is s within a JSON string, with and without what is done for the sake of HTML.
func inJSON(s string) []string {
	var out []string
	for _, html := range []bool{false, true} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(html)
		if err := e.Encode(s); err == nil {
			text := strings.TrimSpace(b.String())
			out = append(out, text[1:len(text)-1]) // without the quotes around it
		}
	}
	return out
}

// Clean returns s with *** in the place of every secret.
func (r *Redactor) Clean(s string) string {
	if r == nil {
		return s
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, "***")
	}
	return s
}
