package facts

import (
	"encoding/json"
	"errors"
)

// ErrNotRead is the reason of a fact that nobody has tried to read.
var ErrNotRead = errors.New("not read")

// Known is a fact, or the reason why it is not known. The zero Known has not been read.
type Known[T any] struct {
	value T
	ok    bool
	err   error
}

// Is makes a fact.
func Is[T any](value T) Known[T] { return Known[T]{value: value, ok: true} }

// Unknown makes a fact that could not be read.
func Unknown[T any](reason error) Known[T] { return Known[T]{err: reason} }

// Get returns the fact; ok is false if it is not known.
func (k Known[T]) Get() (value T, ok bool) { return k.value, k.ok }

// Or returns the fact, or instead if it is not known.
func (k Known[T]) Or(instead T) T {
	if k.ok {
		return k.value
	}
	return instead
}

// Err is nil for a fact that is known, else the reason why it is not.
func (k Known[T]) Err() error {
	switch {
	case k.ok:
		return nil
	case k.err == nil:
		return ErrNotRead
	}
	return k.err
}

// MarshalJSON gives the fact, or {"unknown": reason}.
func (k Known[T]) MarshalJSON() ([]byte, error) {
	if k.ok {
		return json.Marshal(k.value)
	}
	return json.Marshal(map[string]string{"unknown": k.Err().Error()})
}

// then makes a fact of a fact.
func then[A, B any](k Known[A], f func(A) (B, error)) Known[B] {
	a, ok := k.Get()
	if !ok {
		return Unknown[B](k.Err())
	}
	b, err := f(a)
	if err != nil {
		return Unknown[B](err)
	}
	return Is(b)
}
