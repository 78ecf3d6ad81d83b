package integration

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/test/harness"
)

// TestSecretsAreNowhereButWhereTheyBelong uses secrets of every kind, right and
// wrong, and looks for them in all that is logged, noted, told or stored.
func TestSecretsAreNowhereButWhereTheyBelong(t *testing.T) {
	const primary, secondary, replaced = "CanaryPrimary-0123456789", "CanarySecondary-0123456789", "CanaryReplaced-0123456789"
	i := harness.Start(t, harness.AllInOne, harness.WithServerArgs("up", "--log-level", "debug"))
	registerModel(t, i)
	robot := newPrincipal(t, i, "robot")
	admin, err := os.ReadFile(i.TokenPath())
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"primary key": primary, "secondary key": secondary, "replaced key": replaced, "service principal": robot,
		"administrator": strings.TrimSpace(string(admin)), "malformed key": "CanaryMalformed", "wrong": "CanaryWrong",
	}

	said := i.Run("model", "deploy", "-n", "shop", "-m", modelID, "--ct", "local", "--kp", primary, "--ks", secondary,
		"--ic", inferenceConfig(t, script), "--dc", deploymentConfig(t, nil))
	i.Run("endpoint", "regen-key", "-n", "shop", "--key", "Primary", "--set-key", replaced)
	awaitScore(t, i, replaced, http.StatusOK, "")
	said += i.Refused("endpoint", "regen-key", "-n", "shop", "--key", "Primary", "--set-key", "CanaryMalformed x").Stderr
	for _, wrong := range []string{"CanaryWrongKey-0123456789", "fls_CanaryWrong_x", "eyJ.CanaryWrong.x"} {
		answer, err := i.Score(testContext(t), "shop", wrong, wish(`{}`), nil)
		if err != nil || answer.Status != http.StatusUnauthorized {
			t.Errorf("%s: %v, %v", wrong, answer, err)
		}
		said += string(answer.Body)
		if got := rest(t, i, wrong, http.MethodGet, "/v1/workspaces"); got != http.StatusUnauthorized {
			t.Errorf("%s: %d", wrong, got)
		}
	}
	i.Run("endpoint", "update", "-n", "shop", "--token-auth-enabled")
	secrets["token"] = getToken(t, i)
	awaitScore(t, i, secrets["token"], http.StatusOK, "")
	i.Run("endpoint", "revoke-tokens", "-n", "shop")
	awaitScore(t, i, secrets["token"], http.StatusUnauthorized, "revoked")

	events, err := i.REST(testContext(t), http.MethodGet, "/v1/workspaces/-/events:watch?noFollow=true&fromStart=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	places := map[string][]byte{
		"the answers":   []byte(said),
		"the audit log": []byte(i.Run("auth", "audit", "-w", "-", "-o", "json")),
		"the events":    events.Body,
	}
	if !bytes.Contains(places["the audit log"], []byte("RegenerateEndpointKey")) || !bytes.Contains(places["the events"], []byte("endpointkey")) {
		t.Errorf("the audit log or the events do not show what was done:\n%s\n%s", places["the audit log"], places["the events"])
	}
	readAll(t, filepath.Dir(i.DataRoot()), places)
	for place, text := range places {
		for kind, secret := range secrets {
			if kind == "administrator" && (place == i.TokenPath() || filepath.Base(place) == "admin.token") {
				continue
			}
			if at := bytes.Index(text, []byte(secret)); at >= 0 {
				t.Errorf("the %s is in %s: %q", kind, place, text[max(at-60, 0):min(at+20, len(text))])
			}
		}
	}
}

// readAll reads every file of a folder: what is stored, and what was logged.
func readAll(t *testing.T, root string, into map[string][]byte) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // files come and go while the installation works
		}
		text, err := os.ReadFile(path)
		if err == nil {
			into[path] = text
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
