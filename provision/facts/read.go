package facts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An API is the API of one node. Paths are those of pvesh, with their query.
type API interface {
	Get(ctx context.Context, path string, into any) error
}

// A Shell runs a command as root on one node and returns what it wrote. Arguments are literal.
type Shell interface {
	Run(ctx context.Context, argv ...string) (stdout string, err error)
}

// one reads an object.
func one[T any](ctx context.Context, api API, path string, convert func(*row) T) Known[T] {
	var r row
	if err := api.Get(ctx, path, &r); err != nil {
		return Unknown[T](fmt.Errorf("GET %s: %w", path, err))
	}
	value := convert(&r)
	if r.err != nil {
		return Unknown[T](fmt.Errorf("GET %s: %w", path, r.err))
	}
	return Is(value)
}

// rows reads a list of objects.
func rows(ctx context.Context, api API, path string) Known[[]*row] {
	list := []*row{}
	if err := api.Get(ctx, path, &list); err != nil {
		return Unknown[[]*row](fmt.Errorf("GET %s: %w", path, err))
	}
	return Is(slices.DeleteFunc(list, func(r *row) bool { return r == nil }))
}

// many reads a list of objects and converts each; skip leaves some out.
func many[T any](ctx context.Context, api API, path string, convert func(*row) (T, bool)) Known[[]T] {
	return then(rows(ctx, api, path), func(list []*row) ([]T, error) {
		out := []T{}
		for _, r := range list {
			value, ok := convert(r)
			if r.err != nil {
				return nil, fmt.Errorf("GET %s: %w", path, r.err)
			}
			if ok {
				out = append(out, value)
			}
		}
		return out, nil
	})
}

// all converts every row.
func all[T any](convert func(*row) T) func(*row) (T, bool) {
	return func(r *row) (T, bool) { return convert(r), true }
}

// orAbsent turns a refusal that says "there is none" into an empty fact.
func orAbsent[T any](k Known[[]T], absent ...string) Known[[]T] {
	if err := k.Err(); err != nil && says(err, absent...) {
		return Is([]T{})
	}
	return k
}

// says is true if the error contains one of the texts. Proxmox VE has no codes: what is missing, what
// is broken and what is refused all come as 500 with a sentence.
func says(err error, texts ...string) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(err.Error(), t) })
}
