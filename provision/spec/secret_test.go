package spec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// canary must never be seen.
const canary = "hunter2-canary"

// places is a Resolver for tests.
type places struct{ env, files, prompts map[string]string }

func (p places) Env(name string) (string, bool) { v, ok := p.env[name]; return v, ok }

func (p places) File(_ context.Context, path string) (string, error) {
	if v, ok := p.files[path]; ok {
		return v, nil
	}
	return "", errors.New(path + " is not there")
}

func (p places) Prompt(_ context.Context, text string) (string, error) {
	if v, ok := p.prompts[text]; ok {
		return v, nil
	}
	return "", errors.New("no terminal to ask on")
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	c, err := Parse("f", []byte(read(t, homelab)))
	if err != nil {
		t.Fatal(err)
	}
	s := SecretEnv(canary)
	c.Spec.Access.API.Password = s
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+"\n", s)
		fmt.Fprintf(&b, verb+"\n", &s)
		fmt.Fprintf(&b, verb+"\n", c.Spec.Access)
		fmt.Fprintf(&b, verb+"\n", []any{s, map[string]Secret{"a": s}})
	}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(j)
	y, err := yaml.Marshal(map[string]any{"password": s})
	if err != nil {
		t.Fatal(err)
	}
	b.Write(y)
	log := slog.New(slog.NewJSONHandler(&b, nil))
	log.Info("x", "secret", s, "access", c.Spec.Access, "pointer", &s)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "secret", s, "access", c.Spec.Access)
	if strings.Contains(b.String(), canary) || strings.Contains(b.String(), fmt.Sprintf("%x", canary)) {
		t.Errorf("the secret's place is printed:\n%s", b.String())
	}
	if n := strings.Count(b.String(), redacted); n < 20 {
		t.Errorf("only %d times ***", n)
	}
}

func TestSecretInTheFileIsRefusedWithoutQuotingIt(t *testing.T) {
	for name, value := range map[string]string{
		"text": canary, "quoted": `"` + canary + `"`, "list": "[" + canary + "]", "wrong key": "{plain: " + canary + "}",
		"two": "{env: A, file: " + canary + "}", "nested": "{env: {x: " + canary + "}}", "block": "|\n          " + canary, "number": "{env: 12345678901}",
		"unclosed": `"` + canary, "colon": canary + ": x: y", "tag": "!secret " + canary, "comma": "{env: A, " + canary,
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(read(t, homelab), "{env: PVE_ROOT_PASSWORD}", value, 1)
			_, err := Parse("f", []byte(text))
			if err == nil {
				t.Fatal("it is taken")
			}
			if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "12345678901") {
				t.Errorf("the error quotes it: %v", err)
			}
		})
	}
}

func TestSecretsAreResolved(t *testing.T) {
	r := places{
		env: map[string]string{"A": canary, "EMPTY": ""}, files: map[string]string{"/f": canary + "\n"}, prompts: map[string]string{"Password": canary},
	}
	for _, s := range []Secret{SecretEnv("A"), SecretFile("/f"), SecretPrompt("Password")} {
		if have, err := s.Resolve(t.Context(), r); err != nil || have != canary {
			t.Errorf("%s: %v", s.Source(), err)
		}
	}
	for want, s := range map[string]Secret{
		"environment variable B is not set": SecretEnv("B"), "environment variable EMPTY is empty": SecretEnv("EMPTY"),
		"/g is not there": SecretFile("/g"), "no terminal": SecretPrompt("x"),
	} {
		if have, err := s.Resolve(t.Context(), r); err == nil || have != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", s.Source(), err)
		}
	}
	if _, err := (Secret{}).Resolve(t.Context(), r); !errors.Is(err, ErrNoSecret) {
		t.Errorf("%v", err)
	}
}
