package engine

import (
	"cmp"
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

// Add makes s one of the secrets.
func (r *Redactor) Add(s string) {
	s = strings.TrimSpace(s)
	if len(s) < shortest {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.secrets, s) {
		return
	}
	r.secrets = append(r.secrets, s)
	// The longest first: one may be part of another.
	slices.SortFunc(r.secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
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
