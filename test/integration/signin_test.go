package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/fairlead/fairlead/test/harness"
)

// startProvider runs a real identity provider with the client "fairlead" and the
// user test-user.
func startProvider(t *testing.T) *httptest.Server {
	t.Helper()
	var handler atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.Load().(http.Handler).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	storage.RegisterClients(storage.NativeClient("fairlead", "http://127.0.0.1/callback"))
	handler.Store(http.Handler(exampleop.SetupServer(server.URL, storage.NewStorage(storage.NewUserStore(server.URL)), nil, false)))
	return server
}

// person is a user of the command line on a machine of its own, without any token.
type person struct {
	i    *harness.Installation
	home string
}

func (p person) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), p.i.Program(), args...)
	cmd.Env = []string{"HOME=" + p.home, "FAIRLEAD_SERVER=" + p.i.Server, "FAIRLEAD_DATA_DIR=" + filepath.Join(p.home, "none")}
	return cmd
}

// run runs a command and gives its exit code and all that it says.
func (p person) run(t *testing.T, args ...string) (code int, says string) {
	t.Helper()
	output, err := p.command(t, args...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(output)
	}
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return 0, string(output)
}

func (p person) credentials() string {
	return filepath.Join(p.home, ".config", "fairlead", "credentials.json")
}

// signIn does what the user does in the browser.
func (p person) signIn(t *testing.T, issuer string) {
	t.Helper()
	cmd := p.command(t, "auth", "login", "--issuer", issuer, "--client-id", "fairlead")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	address := ""
	for address == "" && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "http") {
			address = lines.Text()
		}
	}
	page, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = page.Body.Close()
	form := url.Values{
		"username": {"test-user@127.0.0.1"}, "password": {"verysecure"}, "id": {page.Request.URL.Query().Get("authRequestID")},
	}
	done, err := http.PostForm(issuer+"/login/username", form)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(done.Body)
	_ = done.Body.Close()
	if !bytes.Contains(body, []byte("close this page")) {
		t.Fatalf("the browser ended at %v: %s", done.Request.URL, body)
	}
	rest, _ := io.ReadAll(stderr)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("login: %v: %s", err, rest)
	}
}

// TestSignIn has a user sign in with a real identity provider, get a role, and
// go on with the provider gone.
func TestSignIn(t *testing.T) {
	provider := startProvider(t)
	issuer := provider.URL
	for _, assembly := range []harness.Assembly{harness.AllInOne, harness.Services} {
		t.Run(string(assembly), func(t *testing.T) {
			i := harness.Start(t, assembly, harness.WithServerArgs("auth", "--oidc-issuer", issuer+",client-id=fairlead"))
			p := person{i: i, home: t.TempDir()}
			if code, says := p.run(t, "auth", "whoami"); code != 4 {
				t.Errorf("without a token: exit code %d: %s", code, says)
			}
			p.signIn(t, issuer)
			info, err := os.Stat(p.credentials())
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the tokens are kept with mode %v, %v; want 0600", info.Mode(), err)
			}
			principal := "user:" + issuer + "#id1"
			if code, says := p.run(t, "auth", "whoami", "-o", "name"); code != 0 || strings.TrimSpace(says) != principal {
				t.Fatalf("whoami: exit code %d: %s; want %s", code, says, principal)
			}

			if code, says := p.run(t, "endpoint", "list"); code != 3 || !strings.Contains(says, "has no role in it") {
				t.Errorf("without a role: exit code %d: %s", code, says)
			}
			i.Run("auth", "role-binding", "create", "-n", "reads", "--principal", principal, "--role", "Reader")
			if code, says := p.run(t, "endpoint", "list"); code != 0 {
				t.Errorf("as a reader: exit code %d: %s", code, says)
			}
			if code, says := p.run(t, "endpoint", "delete", "-n", "shop"); code != 4 || !strings.Contains(says, "needs the role Contributor") {
				t.Errorf("more than a reader may do: exit code %d: %s", code, says)
			}

			expire(t, p.credentials())
			if code, says := p.run(t, "auth", "whoami"); code != 0 {
				t.Errorf("with a token to renew: exit code %d: %s", code, says)
			}
			if !expiry(t, p.credentials()).After(time.Now()) {
				t.Error("the token was not renewed")
			}

			i.Run("auth", "role-binding", "delete", "-n", "reads")
			if code, says := p.run(t, "endpoint", "list"); code != 3 {
				t.Errorf("after the role was taken away: exit code %d: %s", code, says)
			}
			if says := i.Run("auth", "audit", "--principal", principal, "--denied", "--all-workspaces"); !strings.Contains(says, "DeleteEndpoint") {
				t.Errorf("the audit log does not have the refused call:\n%s", says)
			}
			if assembly == harness.Services { // the last to need the provider
				provider.Close()
				if code, says := p.run(t, "auth", "whoami"); code != 0 {
					t.Errorf("with the provider gone: exit code %d: %s", code, says)
				}
			}
			p.run(t, "auth", "logout")
			if code, says := p.run(t, "auth", "whoami"); code != 4 {
				t.Errorf("after logout: exit code %d: %s", code, says)
			}
		})
	}
}

// kept is a sign-in as the file has it.
type kept map[string]map[string]any

func readKept(t *testing.T, path string) kept {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	k := kept{}
	if err := json.Unmarshal(content, &k); err != nil {
		t.Fatal(err)
	}
	return k
}

// expire makes the kept token one that must be renewed.
func expire(t *testing.T, path string) {
	t.Helper()
	k := readKept(t, path)
	for _, c := range k {
		c["expiry"] = time.Now().Add(-time.Minute).Format(time.RFC3339)
	}
	content, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func expiry(t *testing.T, path string) time.Time {
	t.Helper()
	for _, c := range readKept(t, path) {
		text, _ := c["expiry"].(string)
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	return time.Time{}
}
