package auth_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/apierr"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

const endpoint = "workspaces/default/endpoints/diabetes"

func (b *bed) ensure(t *testing.T, uid, primary, secondary string) error {
	t.Helper()
	_, err := b.services().EnsureEndpointKeys(t.Context(), &authv1.EnsureEndpointKeysRequest{
		Name: endpoint, EndpointUid: uid, PrimaryKey: primary, SecondaryKey: secondary,
	})
	return err
}

func (b *bed) list(t *testing.T) (primary, secondary string) {
	t.Helper()
	k := must[*authv1.EndpointKeys](t)(b.keys().ListEndpointKeys(b.admin(t), &authv1.ListEndpointKeysRequest{Name: endpoint}))
	return k.GetPrimaryKey(), k.GetSecondaryKey()
}

func (b *bed) regenerate(t *testing.T, key authv1.KeyType, value, request string) (*authv1.EndpointKeys, error) {
	t.Helper()
	return b.keys().RegenerateEndpointKey(b.admin(t), &authv1.RegenerateEndpointKeyRequest{Name: endpoint, KeyType: key, KeyValue: value, RequestId: request})
}

func TestEnsureKeepsTheKeysOfOneEndpointAndReplacesThoseOfAnother(t *testing.T) {
	b := start(t)
	for range 2 {
		if err := b.ensure(t, "one", "", ""); err != nil {
			t.Fatal(err)
		}
	}
	p1, s1 := b.list(t)
	if p1 == s1 || len(p1) < 43 || len(s1) < 43 {
		t.Fatal("random keys must differ and be long")
	}
	if err := b.ensure(t, "one", "brought-later-primary", ""); err != nil {
		t.Fatal(err)
	}
	if p, s := b.list(t); p != p1 || s != s1 {
		t.Error("ensuring again changed the keys")
	}
	if err := b.ensure(t, "two", "brought-by-the-user", ""); err != nil {
		t.Fatal(err)
	}
	if p, s := b.list(t); p != "brought-by-the-user" || s == s1 {
		t.Error("an endpoint made again must get keys of its own")
	}
	want := []string{
		"fairlead.auth.endpointkey.v1.created 1",
		"fairlead.auth.endpointkey.v1.deleted 2",
		"fairlead.auth.endpointkey.v1.created 1",
	}
	if diff := cmp.Diff(want, b.facts(endpoint)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestEnsureAmongConcurrentCallersMakesOnePair(t *testing.T) {
	b := start(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := b.ensure(t, "one", "", ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff([]string{"fairlead.auth.endpointkey.v1.created 1"}, b.facts(endpoint)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestRegenerateReplacesOneKey(t *testing.T) {
	b := start(t)
	if err := b.ensure(t, "one", "", ""); err != nil {
		t.Fatal(err)
	}
	p1, s1 := b.list(t)
	made := must[*authv1.EndpointKeys](t)(b.regenerate(t, authv1.KeyType_KEY_TYPE_PRIMARY, "", requestID))
	if made.GetPrimaryKey() == p1 || made.GetSecondaryKey() != s1 {
		t.Error("the primary key must change and the secondary stay")
	}
	repeated := must[*authv1.EndpointKeys](t)(b.regenerate(t, authv1.KeyType_KEY_TYPE_PRIMARY, "", requestID))
	if repeated.GetPrimaryKey() != made.GetPrimaryKey() {
		t.Error("the same request sent again made another key")
	}
	const own = "a-key-of-my-own-1234"
	brought := must[*authv1.EndpointKeys](t)(b.regenerate(t, authv1.KeyType_KEY_TYPE_SECONDARY, own, ""))
	if brought.GetSecondaryKey() != own || brought.GetPrimaryKey() != made.GetPrimaryKey() {
		t.Errorf("a brought key was not taken: %v", brought)
	}
	same := must[*authv1.EndpointKeys](t)(b.regenerate(t, authv1.KeyType_KEY_TYPE_SECONDARY, own, "9a0c1c1e-3b5e-4f57-9a3b-0c1f6c1e8a10"))
	if same.GetSecondaryKey() != own {
		t.Error("setting the same key again changed it")
	}
	_, err := b.regenerate(t, authv1.KeyType_KEY_TYPE_PRIMARY, own, "")
	failsWith(t, err, apierr.InvalidArgument, "INVALID_ARGUMENT", "key_value")
	_, err = b.regenerate(t, authv1.KeyType_KEY_TYPE_UNSPECIFIED, "short", "")
	failsWith(t, err, apierr.InvalidArgument, "INVALID_ARGUMENT", "key_type", "key_value")
	want := []string{
		"fairlead.auth.endpointkey.v1.created 1",
		"fairlead.auth.endpointkey.v1.regenerated 2",
		"fairlead.auth.endpointkey.v1.regenerated 3",
	}
	if diff := cmp.Diff(want, b.facts(endpoint)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestEndpointsWithoutKeys(t *testing.T) {
	b := start(t)
	_, err := b.keys().ListEndpointKeys(b.admin(t), &authv1.ListEndpointKeysRequest{Name: endpoint})
	failsWith(t, err, apierr.NotFound, "ENDPOINT_KEYS_NOT_FOUND")
	_, err = b.regenerate(t, authv1.KeyType_KEY_TYPE_PRIMARY, "", "")
	failsWith(t, err, apierr.NotFound, "ENDPOINT_KEYS_NOT_FOUND")
	for _, name := range []string{"workspaces/default", "workspaces/default/endpoints/", endpoint + "/versions/v", "workspaces/default/endpoints/" + strings.Repeat("x", 600)} {
		_, err = b.keys().ListEndpointKeys(b.admin(t), &authv1.ListEndpointKeysRequest{Name: name})
		failsWith(t, err, apierr.InvalidArgument, "INVALID_ARGUMENT", "name")
	}
	failsWith(t, b.ensure(t, "u", "bad key", "short"), apierr.InvalidArgument, "INVALID_ARGUMENT", "primary_key", "secondary_key")
	failsWith(t, b.ensure(t, "u", "the-same-key-twice", "the-same-key-twice"), apierr.InvalidArgument, "INVALID_ARGUMENT", "secondary_key")
	_, err = b.keys().EnsureEndpointKeys(b.admin(t), &authv1.EnsureEndpointKeysRequest{Name: endpoint, EndpointUid: "u"})
	failsWith(t, err, apierr.PermissionDenied, "SERVICES_ONLY")
}

func TestDeleteRemovesOnlyTheKeysOfThatEndpoint(t *testing.T) {
	b := start(t)
	if err := b.ensure(t, "two", "", ""); err != nil {
		t.Fatal(err)
	}
	remove := func(uid string) {
		t.Helper()
		must[*authv1.DeleteEndpointKeysResponse](t)(b.services().DeleteEndpointKeys(t.Context(), &authv1.DeleteEndpointKeysRequest{Name: endpoint, EndpointUid: uid}))
	}
	remove("one")
	b.list(t)
	remove("two")
	remove("two")
	remove("")
	_, err := b.keys().ListEndpointKeys(b.admin(t), &authv1.ListEndpointKeysRequest{Name: endpoint})
	failsWith(t, err, apierr.NotFound, "ENDPOINT_KEYS_NOT_FOUND")
	want := []string{"fairlead.auth.endpointkey.v1.created 1", "fairlead.auth.endpointkey.v1.deleted 2"}
	if diff := cmp.Diff(want, b.facts(endpoint)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestKeysAreNowhereInClear(t *testing.T) {
	b := start(t)
	if err := b.ensure(t, "one", "", "brought-by-the-user"); err != nil {
		t.Fatal(err)
	}
	must[*authv1.EndpointKeys](t)(b.regenerate(t, authv1.KeyType_KEY_TYPE_PRIMARY, "another-brought-key", requestID))
	primary, secondary := b.list(t)
	entries, _, err := b.store.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{primary, secondary} {
		for _, e := range entries {
			if bytes.Contains(e.Value, []byte(key)) {
				t.Errorf("the store shows a key at %s", e.Key)
			}
		}
		for _, e := range b.store.Events() {
			if bytes.Contains(e.Data, []byte(key)) {
				t.Errorf("event %s shows a key", e.Type())
			}
		}
	}
}

func TestALostSealingKeyIsToldAndRegeneratingHeals(t *testing.T) {
	b := start(t)
	if err := b.ensure(t, "one", "", ""); err != nil {
		t.Fatal(err)
	}
	b.stop()
	if err := os.Remove(filepath.Join(b.dir, "sealing.key")); err != nil {
		t.Fatal(err)
	}
	b = restart(t, b, nil)
	_, err := b.keys().ListEndpointKeys(b.admin(t), &authv1.ListEndpointKeysRequest{Name: endpoint})
	failsWith(t, err, apierr.DataLoss, "ENDPOINT_KEY_UNREADABLE")
	_, err = b.regenerate(t, authv1.KeyType_KEY_TYPE_PRIMARY, "", "")
	failsWith(t, err, apierr.DataLoss, "ENDPOINT_KEY_UNREADABLE") // the other key still cannot be shown
	must[*authv1.EndpointKeys](t)(b.regenerate(t, authv1.KeyType_KEY_TYPE_SECONDARY, "", ""))
	b.list(t)
}

func TestWatchEndpointKeyDigests(t *testing.T) {
	b := start(t)
	const primary, secondary = "primary-brought-key", "secondary-brought-key"
	if err := b.ensure(t, "one", primary, secondary); err != nil {
		t.Fatal(err)
	}
	watch, err := b.services().WatchEndpointKeyDigests(t.Context(), &authv1.WatchEndpointKeyDigestsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	sum := func(keys ...string) [][]byte {
		var out [][]byte
		for _, k := range keys {
			d := sha256.Sum256([]byte(k))
			out = append(out, d[:])
		}
		return out
	}
	is := func(want ...string) func(map[string][][]byte, bool) bool {
		return func(state map[string][][]byte, _ bool) bool {
			_, known := state[endpoint]
			return known && cmp.Equal(sum(want...), state[endpoint])
		}
	}
	digests(t, watch, func(state map[string][][]byte, synced bool) bool {
		if synced && !is(primary, secondary)(state, synced) {
			t.Fatalf("synced before the digests came: %v", state)
		}
		return synced
	})
	began := time.Now()
	must[*authv1.EndpointKeys](t)(b.regenerate(t, authv1.KeyType_KEY_TYPE_PRIMARY, "a-third-brought-key", ""))
	digests(t, watch, is("a-third-brought-key", secondary))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a change took %s to arrive", took)
	}
	must[*authv1.DeleteEndpointKeysResponse](t)(b.services().DeleteEndpointKeys(t.Context(), &authv1.DeleteEndpointKeysRequest{Name: endpoint}))
	digests(t, watch, is())
}
