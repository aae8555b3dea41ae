package keys_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sponge/pkg/keys"
)

// worker parses a key that every byte of is b.
func worker(t testing.TB, b byte) *keys.WorkerKey {
	t.Helper()
	k, err := keys.ParseWorkerKey(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, keys.Size)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	k := worker(t, 1)
	t.Run("a key of its own for each", func(t *testing.T) { sealAndOpen(t, k, k.Seal(), "sealed:1:") })
	t.Run("a Sealer's", func(t *testing.T) { sealAndOpen(t, k, keys.NewSealer(k.Seal()), "sealed:2:") })
}

func sealAndOpen(t *testing.T, k *keys.WorkerKey, seal interface{ Seal([]byte) ([]byte, error) }, prefix string) {
	other := worker(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOf(rapid.Byte()).Draw(t, "secret")
		sealed, err := seal.Seal(raw)
		if err != nil {
			t.Fatal(err)
		}
		var text string
		if err := json.Unmarshal(sealed, &text); err != nil || !strings.HasPrefix(text, prefix) {
			t.Fatalf("%s is no JSON string of a sealed value: %v", sealed, err)
		}
		if len(raw) > 3 && (bytes.Contains(sealed, raw) || strings.Contains(text, base64.RawURLEncoding.EncodeToString(raw))) {
			t.Fatalf("%s shows the secret %q", sealed, raw)
		}
		if got, err := k.Open(sealed); err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("Open: %q, %v; want %q", got, err, raw)
		}
		if again, err := seal.Seal(raw); err != nil || bytes.Equal(again, sealed) {
			t.Fatalf("two seals of a secret are alike: %s, %v", again, err)
		}
		if got, err := other.Open(sealed); !errors.Is(err, keys.ErrSealed) || got != nil {
			t.Fatalf("Open with another key: %q, %v; want ErrSealed", got, err)
		}
		at := rapid.IntRange(0, len(sealed)-1).Draw(t, "at")
		altered := bytes.Clone(sealed)
		altered[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		// The last character holds bits that base64 does not use.
		if got, err := k.Open(altered); at < len(sealed)-2 && (!errors.Is(err, keys.ErrSealed) || got != nil) {
			t.Fatalf("Open of an altered box: %q, %v; want ErrSealed", got, err)
		}
		if got, err := k.Open(sealed[:at]); !errors.Is(err, keys.ErrSealed) {
			t.Fatalf("Open of a cut box: %q, %v; want ErrSealed", got, err)
		}
	})
}

func TestOpenOfWhatIsNotSealed(t *testing.T) {
	t.Parallel()
	k := worker(t, 1)
	for _, raw := range []string{``, `"`, `"6"`, `42`, `null`, `"sealed:1:"`, `"sealed:1:!!"`, `"sealed:1:AAAA"`, `"sealed:2:"`, `"sealed:2:AAAA"`, `"sealed:3:AAAA"`, `"sealed:1:"sealed:2:AAAA"`, `"sealed:1:`} {
		if got, err := k.Open([]byte(raw)); !errors.Is(err, keys.ErrSealed) || got != nil {
			t.Errorf("Open(%s): %q, %v; want ErrSealed", raw, got, err)
		}
	}
}

// A Sealer's key pair serves for a minute, whoever seals meanwhile, and what was
// sealed by an earlier one still opens.
func TestSealerChangesItsPair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := worker(t, 1)
		s := keys.NewSealer(k.Seal())
		seal := func() (public string, sealed []byte) {
			sealed, err := s.Seal([]byte(`"6"`))
			if err != nil {
				t.Error(err)
			}
			return string(sealed[:len(`"sealed:2:`)+42]), sealed // 42 characters of base64 for 31 bytes and a half
		}
		var wg sync.WaitGroup
		first, old := seal()
		for range 8 {
			wg.Go(func() {
				if again, sealed := seal(); again != first || bytes.Equal(sealed, old) {
					t.Errorf("within a minute: %s and %s", old, sealed)
				}
			})
		}
		wg.Wait()
		for range 2000 { // more than are remembered
			time.Sleep(61 * time.Second)
			public, sealed := seal()
			if public == first {
				t.Fatal("the pair has not changed after a minute")
			}
			first = public
			for range 2 {
				if raw, err := k.Open(sealed); err != nil || string(raw) != `"6"` {
					t.Fatalf("Open: %q, %v", raw, err)
				}
			}
		}
		if raw, err := k.Open(old); err != nil || string(raw) != `"6"` {
			t.Fatalf("Open of an old one: %q, %v", raw, err)
		}
	})
}

func BenchmarkSealAndOpen(b *testing.B) {
	k := worker(b, 1)
	s := keys.NewSealer(k.Seal())
	raw := []byte(`"tM4Qm8b1v8Q7v2n0Yk3m5w6x7y8z9A0B1C2D3E4F5G6"`)
	b.ReportAllocs()
	for b.Loop() {
		sealed, err := s.Seal(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := k.Open(sealed); err != nil {
			b.Fatal(err)
		}
	}
}

// TestDerivedKeysNeverChange: boxes in the topics, proofs on connections and
// outcomes in rows were made with them.
func TestDerivedKeysNeverChange(t *testing.T) {
	t.Parallel()
	k := worker(t, 1)
	if got, want := k.Seal().String(), "WgVg8ZrZGnlVzIPxwonv7dwCRNb91VNOszxMAtyuhHA="; got != want {
		t.Errorf("seal key %s, want %s", got, want)
	}
	const sealed = `"sealed:1:5WKDyjGhTgWbge1fITHA3PyS-N7iRtvyWxhFzn6jwkN4A1usaXoM6fBMLghFYr5TJ8I9"`
	if got, err := k.Open([]byte(sealed)); err != nil || string(got) != `"6"` {
		t.Errorf("Open: %q, %v", got, err)
	}
	const bySealer = `"sealed:2:xtH0Ui0aQ0GdJtLr89JVSL3IgM65Jxm5efp2bfzpPyKetp3DX_2Eyp4W_ZbyYjNd1Shqn530uhhVHZX3TcqND9UjdMuudJMKL2Tw"`
	if got, err := k.Open([]byte(bySealer)); err != nil || string(got) != `"6"` {
		t.Errorf("Open of a Sealer's: %q, %v", got, err)
	}
	p := k.Prove(6, keys.TokenID("a token"), "edge:0a1b2c", 7, time.Unix(1703078264, 0))
	if got, want := hex.EncodeToString(p[:]), "0000000000000006e3316e2bafebb6103a3418e8778c0adc000000006582e9788e168e403900717c6b2ffc4e2c8429d8"; got != want {
		t.Errorf("proof %s, want %s", got, want)
	}
	id := k.OutcomeID([]byte("a-1"), []byte("Eric Ling"), []byte("whatever"))
	if got, want := hex.EncodeToString(id[:]), "460f006a0b16425e22ea5bbb8694908d"; got != want {
		t.Errorf("outcome id %s, want %s", got, want)
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	k := worker(t, 1)
	expiry := time.Unix(1703078264, 0)
	_, session := keys.NewToken()
	p := k.Prove(6, session, "edge:0a1b2c", 7, expiry.Add(999*time.Millisecond))
	if p.User() != 6 || p.Session() != session || !p.Expiry().Equal(expiry) {
		t.Fatalf("user %d, session %x, expiry %s", p.User(), p.Session(), p.Expiry())
	}
	for _, tt := range []struct {
		name string
		key  *keys.WorkerKey
		node string
		conn uint64
		now  time.Time
		ok   bool // signed
		over bool
	}{
		{"long before", k, "edge:0a1b2c", 7, expiry.Add(-time.Hour), true, false},
		{"at the expiry", k, "edge:0a1b2c", 7, expiry, true, false},
		{"by a clock that is ahead", k, "edge:0a1b2c", 7, expiry.Add(keys.ClockLeeway), true, false},
		{"behind any clock's", k, "edge:0a1b2c", 7, expiry.Add(keys.ClockLeeway + 1), true, true},
		{"another start of the node", k, "edge:0a1b2d", 7, expiry, false, false},
		{"no node", k, "", 7, expiry, false, false},
		{"another connection", k, "edge:0a1b2c", 8, expiry, false, false},
		{"another key", worker(t, 2), "edge:0a1b2c", 7, expiry, false, false},
	} {
		if err := tt.key.Check(p, tt.node, tt.conn); (err == nil) != tt.ok || err != nil && !errors.Is(err, keys.ErrProof) {
			t.Errorf("%s: %v, want it to hold: %t", tt.name, err, tt.ok)
		}
		if got := p.Expired(tt.now); got != tt.over {
			t.Errorf("%s: expired %t", tt.name, got)
		}
	}
	for i := range p {
		for bit := range 8 {
			altered := *p
			altered[i] ^= 1 << bit
			if err := k.Check(&altered, "edge:0a1b2c", 7); !errors.Is(err, keys.ErrProof) {
				t.Errorf("bit %d of byte %d altered: %v, want ErrProof", bit, i, err)
			}
		}
	}
	if err := k.Check(new(keys.Proof), "", 0); !errors.Is(err, keys.ErrProof) {
		t.Errorf("a proof of zeros: %v, want ErrProof", err)
	}
}

func TestProofKeepsAnyUser(t *testing.T) {
	t.Parallel()
	k := worker(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		user, conn := rapid.Int64Min(1).Draw(t, "user"), rapid.Uint64().Draw(t, "conn")
		node := rapid.String().Draw(t, "node")
		p := k.Prove(user, keys.SessionID{1}, node, conn, time.Unix(1703078264, 0))
		if err := k.Check(p, node, conn); err != nil || p.User() != user {
			t.Fatalf("user %d, %v", p.User(), err)
		}
	})
}

func TestOutcomeID(t *testing.T) {
	t.Parallel()
	id := func(k *keys.WorkerKey, parts ...string) [16]byte {
		var b [][]byte
		for _, p := range parts {
			b = append(b, []byte(p))
		}
		return k.OutcomeID(b...)
	}
	k := worker(t, 1)
	first := id(k, "a", "bc", "d")
	if first != id(k, "a", "bc", "d") {
		t.Error("the same parts have two ids")
	}
	if first == id(worker(t, 2), "a", "bc", "d") {
		t.Error("another key makes the same id")
	}
	for _, parts := range [][]string{{"ab", "c", "d"}, {"a", "bcd"}, {"a", "bc", "d", ""}, {"a", "bc", "e"}, {}} {
		if first == id(k, parts...) {
			t.Errorf("%q has the id of other parts", parts)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	token, id := keys.NewToken()
	if b, err := base64.RawURLEncoding.DecodeString(token); err != nil || len(b) != 32 {
		t.Errorf("token %q: %d bytes, %v", token, len(b), err)
	}
	if keys.TokenID(token) != id || bytes.Contains([]byte(token), id[:]) {
		t.Errorf("session %x of token %q", id, token)
	}
	if again, _ := keys.NewToken(); again == token {
		t.Error("two tokens are alike")
	}
}

func TestKeysAsText(t *testing.T) {
	t.Parallel()
	text := keys.Generate()
	if text == keys.Generate() {
		t.Fatal("two generated keys are alike")
	}
	k, err := keys.ParseWorkerKey(text)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := keys.ParseSealKey(k.Seal().String())
	if err != nil || seal != k.Seal() {
		t.Errorf("the seal key became another: %v", err)
	}
	if k.Seal().String() == text {
		t.Error("the public key is the secret one")
	}
	short := base64.StdEncoding.EncodeToString(make([]byte, keys.Size-1))
	long := base64.StdEncoding.EncodeToString(make([]byte, keys.Size+1))
	for _, bad := range []string{"", "secret!", short, long, text + "A", text[:len(text)-1]} {
		_, worker := keys.ParseWorkerKey(bad)
		_, seal := keys.ParseSealKey(bad)
		for _, err := range []error{worker, seal} {
			if err == nil || bad != "" && strings.Contains(err.Error(), bad) {
				t.Errorf("key of %d characters: %v, want an error that does not show it", len(bad), err)
			}
		}
	}
}
