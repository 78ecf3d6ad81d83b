package admintoken

import (
	"errors"
	"strings"
	"testing"
)

func TestGeneratedTokensAreWellFormedAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		token, err := Generate()
		if err != nil {
			t.Fatal(err)
		}
		v, err := NewVerifier(token)
		if err != nil || !v.Verify(token) {
			t.Fatalf("a generated token does not verify: %v", err)
		}
		if seen[token] {
			t.Fatal("a token came twice")
		}
		seen[token] = true
	}
}

func TestVerifierKnowsOnlyItsToken(t *testing.T) {
	token := "flt_" + strings.Repeat("a", 43)
	v, err := NewVerifier(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"", "flt_", token + "a", token[:len(token)-1], strings.ToUpper(token), " " + token} {
		if v.Verify(other) {
			t.Errorf("Verify(%q) = true", other)
		}
	}
	if (Verifier{}).Verify("") {
		t.Error("a Verifier without a token lets the empty token in")
	}
}

func TestNewVerifierRefusesDamagedTokens(t *testing.T) {
	for name, text := range map[string]string{
		"empty":         "",
		"short":         "flt_abc",
		"no prefix":     strings.Repeat("a", 47),
		"spaces inside": "flt_" + strings.Repeat("a ", 22),
		"two lines":     "flt_" + strings.Repeat("a", 43) + "\nflt_" + strings.Repeat("b", 43),
		"binary":        "flt_" + strings.Repeat("\x00", 43),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewVerifier(text)
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("err = %v, want ErrMalformed", err)
			}
			if text != "" && strings.Contains(err.Error(), text) {
				t.Error("the error repeats the text")
			}
		})
	}
}
