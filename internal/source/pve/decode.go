package pve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// decode reads {"data": …} into out, a pointer. Fields that out does not have are passed over; a
// value of the wrong type is an Error, and so is no data where some is documented.
func decode(body []byte, out any) error {
	env := struct {
		Data any `json:"data"`
	}{out}
	if err := json.Unmarshal(body, &env); err != nil {
		return formOf(err)
	}
	if env.Data == nil {
		return &Error{Kind: Type, Text: "the reply holds no data"}
	}
	return nil
}

// formOf tells a reply that ends too early from one that is something else.
func formOf(err error) *Error {
	var syntax *json.SyntaxError
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax) && strings.HasPrefix(syntax.Error(), "unexpected end"):
		return &Error{Kind: Truncated, Text: fmt.Sprintf("the reply ends after %d bytes in the middle of its JSON", syntax.Offset), err: err}
	case errors.As(err, &syntax):
		return &Error{Kind: Type, Text: "the reply is not JSON: " + syntax.Error(), err: err}
	case errors.As(err, &mistyped):
		return &Error{Kind: Type, Text: fmt.Sprintf("field %q holds a %s", mistyped.Field, mistyped.Value), err: err}
	}
	return &Error{Kind: Type, Text: err.Error(), err: err}
}

// mostRows bounds what is set aside for the rows of a reply before they have been seen.
const mostRows = 4096

// decodeRows reads {"data": […]}. keep says what a row must have. Rows that cannot be used cost only
// themselves: the others are returned beside an Error that names the first.
func decodeRows[T any](body []byte, keep func(*T) string) ([]T, error) {
	rows := make([]T, 0, min(bytes.Count(body, []byte("{")), mostRows)) // about as many as there will be
	err := decode(body, &rows)
	if err == nil {
		return sift(rows, keep)
	}
	if !IsKind(err, Type) {
		return nil, err
	}
	var raw []json.RawMessage
	if outer := decode(body, &raw); outer != nil {
		return nil, outer
	}
	var first *Error
	rows = rows[:0]
	for i, r := range raw {
		var row T
		if err := json.Unmarshal(r, &row); err != nil {
			if first == nil {
				first = formOf(err)
				first.Text = fmt.Sprintf("row %d: %s", i, blame[T](r, first.Text))
			}
			continue
		}
		rows = append(rows, row)
	}
	good, err := sift(rows, keep)
	if first != nil {
		return good, first
	}
	return good, err
}

// sift drops the rows that lack something.
func sift[T any](rows []T, keep func(*T) string) ([]T, error) {
	var first error
	good := rows[:0]
	for i := range rows {
		if lacks := keep(&rows[i]); lacks != "" {
			if first == nil {
				first = &Error{Kind: Type, Text: fmt.Sprintf("row %d: no %s", i, lacks)}
			}
			continue
		}
		good = append(good, rows[i])
	}
	return good, first
}

// blame finds the field of row that cannot be read into a T. It is slow and only runs on errors.
func blame[T any](row json.RawMessage, text string) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(row, &fields) != nil {
		return text
	}
	for name, value := range fields {
		one, err := json.Marshal(map[string]json.RawMessage{name: value})
		if err != nil {
			return text
		}
		var t T
		if err := json.Unmarshal(one, &t); err != nil {
			id, _ := scalar(fields["id"])
			return fmt.Sprintf("%s: %s: %s", shorten(id, 60), name, formOf(err).Text)
		}
	}
	return text
}
