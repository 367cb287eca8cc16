package pvefake

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
)

// obj is a JSON object; its keys come out in random order, as from a Perl hash.
type obj map[string]any

// bag is a JSON array that PVE builds from a hash: its order is random in each reply.
type bag []any

// list is a JSON array whose order means something.
type list []any

// encode writes v as PVE's JSON encoder would: random key order, numbers with 15 digits.
func encode(v any) []byte {
	var b bytes.Buffer
	encodeTo(&b, v)
	return b.Bytes()
}

func encodeTo(b *bytes.Buffer, v any) {
	switch t := v.(type) {
	case nil:
		b.WriteString("null")
	case obj:
		encodeObject(b, t)
	case bag:
		shuffled := append(bag(nil), t...)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		encodeArray(b, shuffled)
	case list:
		encodeArray(b, t)
	case float64:
		b.WriteString(strconv.FormatFloat(t, 'g', 15, 64))
	case int:
		b.WriteString(strconv.Itoa(t))
	case int64:
		b.WriteString(strconv.FormatInt(t, 10))
	case bool: // a real JSON boolean; Perl's truth values are 1, 0 and "" and are written as such
		b.WriteString(strconv.FormatBool(t))
	case string:
		encodeString(b, t)
	case json.RawMessage:
		b.Write(t)
	default:
		panic(fmt.Sprintf("pvefake: cannot encode %T", v))
	}
}

func encodeString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("pvefake: a string that JSON cannot hold: " + err.Error())
	}
	b.Truncate(b.Len() - 1) // Encode ends with a newline
}

func encodeObject(b *bytes.Buffer, o obj) {
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		encodeString(b, k)
		b.WriteByte(':')
		encodeTo(b, o[k])
	}
	b.WriteByte('}')
}

func encodeArray(b *bytes.Buffer, a []any) {
	b.WriteByte('[')
	for i, v := range a {
		if i > 0 {
			b.WriteByte(',')
		}
		encodeTo(b, v)
	}
	b.WriteByte(']')
}

func sha256hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
