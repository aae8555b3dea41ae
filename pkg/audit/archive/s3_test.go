package archive

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 is as much of S3 as a store needs: objects in memory, conditional puts,
// a listing in pages, retention noted.
type fakeS3 struct {
	mu           sync.Mutex
	objects      map[string][]byte      // guarded by mu, as is all below; by /bucket/key
	retention    map[string]http.Header // of the puts
	unsigned     int                    // requests without a signature
	conditions   bool                   // are kept
	failNextPuts int                    // with 503, behind the put itself
}

func newFakeS3(t *testing.T) (*fakeS3, StoreConfig) {
	f := &fakeS3{objects: map[string][]byte{}, retention: map[string]http.Header{}, conditions: true}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	return f, StoreConfig{Endpoint: server.URL, Region: "us-east-1"}
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=test/") {
		f.unsigned++
	}
	if r.URL.Query().Get("list-type") == "2" {
		f.list(w, r)
		return
	}
	object, there := f.objects[r.URL.Path]
	switch r.Method {
	case http.MethodPut:
		f.put(w, r, there)
	case http.MethodGet, http.MethodHead:
		if !there {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
		w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(object)))
		if r.Method == http.MethodGet {
			w.Write(object)
		}
	default:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

func (f *fakeS3) put(w http.ResponseWriter, r *http.Request, there bool) {
	body, err := io.ReadAll(unchunk(r))
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "IncompleteBody")
	case r.Header.Get("If-None-Match") != "*" || r.Header.Get("Content-Md5") == "":
		refuse(w, http.StatusBadRequest, "InvalidRequest")
	case there && f.conditions:
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
	default:
		f.objects[r.URL.Path], f.retention[r.URL.Path] = body, r.Header
		if f.failNextPuts > 0 {
			f.failNextPuts--
			refuse(w, http.StatusServiceUnavailable, "SlowDown")
			return
		}
		w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	}
}

// unchunk is a request's body; S3's clients sign it in chunks over plain HTTP.
func unchunk(r *http.Request) io.Reader {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return r.Body
	}
	in := bufio.NewReader(r.Body)
	out, to := io.Pipe()
	go func() {
		for {
			head, err := in.ReadString('\n')
			size, perr := strconv.ParseInt(strings.Split(head, ";")[0], 16, 64)
			if err = errors.Join(err, perr); err == nil && size == 0 {
				err = io.EOF
			}
			if err != nil {
				to.CloseWithError(err)
				return
			}
			io.CopyN(to, in, size)
			in.ReadString('\n')
		}
	}()
	return out
}

func (f *fakeS3) list(w http.ResponseWriter, r *http.Request) {
	type content struct {
		Key  string
		Size int
	}
	var res struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []content
	}
	root := strings.TrimSuffix(r.URL.Path, "/") + "/"
	for _, path := range slices.Sorted(maps.Keys(f.objects)) {
		key := strings.TrimPrefix(path, root)
		if key == path || !strings.HasPrefix(key, r.URL.Query().Get("prefix")) || key <= r.URL.Query().Get("continuation-token") {
			continue
		}
		if len(res.Contents) == 2 { // a small page
			res.IsTruncated, res.NextContinuationToken = true, res.Contents[1].Key
			break
		}
		res.Contents = append(res.Contents, content{key, len(f.objects[path])})
	}
	xml.NewEncoder(w).Encode(res)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
}

func TestBucket(t *testing.T) {
	f, cfg := newFakeS3(t)
	cfg.Retention = Retention{Mode: "COMPLIANCE", Days: 30}
	s, err := OpenStore("s3://bucket/some/prefix/", false, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.String() != "s3://bucket/some/prefix" {
		t.Errorf("got %s", s)
	}
	log := newLog()
	fill(t, log, 50)
	runOnce(t, archiver(log, s))
	fill(t, log, 5)
	res := runOnce(t, archiver(log, s))
	rep, err := Check(t.Context(), s, CheckConfig{Key: public(key(1)), Head: res.Head, Topics: log})
	if err != nil || rep.Records != 112 || rep.Manifests != 2 || rep.Compared != 112 || len(rep.Unnamed) != 0 {
		t.Errorf("got %+v, %v", rep, err)
	}
	r, err := NewReader(t.Context(), s, public(key(1)))
	if err != nil {
		t.Fatal(err)
	}
	sameRecords(t, readBack(t, r, storage, 1), readBack(t, log, storage, 1))
	if f.unsigned > 0 {
		t.Errorf("%d requests without a signature", f.unsigned)
	}
	for path, h := range f.retention {
		until, err := time.Parse(time.RFC3339, h.Get("X-Amz-Object-Lock-Retain-Until-Date"))
		if days := time.Until(until).Hours() / 24; h.Get("X-Amz-Object-Lock-Mode") != "COMPLIANCE" || err != nil || days < 29 || days > 31 {
			t.Errorf("%s: %v", path, h)
		}
		if !strings.HasPrefix(path, "/bucket/some/prefix/") {
			t.Errorf("put at %s", path)
		}
	}
	delete(f.objects, "/bucket/some/prefix/"+names(t, s, storage)[0])
	if _, err := Check(t.Context(), s, CheckConfig{}); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v", err)
	}
}

// TestBucketWhoseAnswerGotLost: the client puts again, and finds what it put.
func TestBucketWhoseAnswerGotLost(t *testing.T) {
	f, cfg := newFakeS3(t)
	s, err := OpenStore("s3://bucket", false, cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := newLog()
	fill(t, log, 5)
	f.failNextPuts = 1
	if res := runOnce(t, archiver(log, s)); res.Files != 3 {
		t.Errorf("got %+v", res)
	}
	if rep, err := Check(t.Context(), s, CheckConfig{}); err != nil || rep.Records != 11 {
		t.Errorf("got %+v, %v", rep, err)
	}
}

func TestBucketThatIgnoresConditions(t *testing.T) {
	f, cfg := newFakeS3(t)
	f.conditions = false
	s, err := OpenStore("s3://bucket", false, cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := newLog()
	fill(t, log, 5)
	if _, err := archiver(log, s).RunOnce(t.Context()); !errors.Is(err, ErrOverwrites) {
		t.Errorf("got %v", err)
	}
}

func TestStoreContract(t *testing.T) {
	_, cfg := newFakeS3(t)
	inBucket, err := OpenStore("s3://bucket/x", false, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Store{dirStore(t), inBucket} {
		t.Run(s.String(), func(t *testing.T) {
			ctx := t.Context()
			for _, name := range []string{"b/2", "a.b", "b/1", "a/b", "c"} {
				if err := put(ctx, s, name, []byte(name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := put(ctx, s, "b/1", []byte("other")); !errors.Is(err, ErrExists) {
				t.Errorf("a name that is taken: %v", err)
			}
			if b, err := readAll(ctx, s, "b/1", 100); err != nil || string(b) != "b/1" {
				t.Errorf("got %q, %v", b, err)
			}
			if n, err := s.Size(ctx, "b/1"); err != nil || n != 3 {
				t.Errorf("got %d, %v", n, err)
			}
			if _, err := s.Size(ctx, "b/3"); !errors.Is(err, ErrNotFound) {
				t.Errorf("got %v", err)
			}
			if _, err := readAll(ctx, s, "b/3", 100); !errors.Is(err, ErrNotFound) {
				t.Errorf("got %v", err)
			}
			if got := fmt.Sprint(names(t, s, "")); got != "[a.b a/b b/1 b/2 c]" {
				t.Errorf("got %s", got)
			}
			if got := fmt.Sprint(names(t, s, "b/")); got != "[b/1 b/2]" {
				t.Errorf("got %s", got)
			}
			if got := fmt.Sprint(names(t, s, "none/")); got != "[]" {
				t.Errorf("got %s", got)
			}
			b, err := s.Create(ctx)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(b, "never")
			b.Abort()
			b.Abort()
			if got := len(names(t, s, "")); got != 5 {
				t.Errorf("%d names", got)
			}
		})
	}
}

func TestUnfinishedFilesAreSwept(t *testing.T) {
	t.Parallel()
	s := dirStore(t)
	for range 2 {
		b, err := s.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Abort)
	}
	left := func() []string {
		found, _ := filepath.Glob(filepath.Join(s.root, tempPrefix+"*"))
		return found
	}
	old := time.Now().Add(-2 * tempAge)
	if err := os.Chtimes(left()[0], old, old); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, ""); len(got) > 0 {
		t.Errorf("they have names: %q", got)
	}
	if _, err := OpenStore(s.root, true, StoreConfig{}); err != nil || len(left()) != 1 {
		t.Errorf("left: %q, %v", left(), err)
	}
}

func TestLocations(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	for location, cfg := range map[string]StoreConfig{
		"": {}, "ftp://x/y": {}, "s3://": {}, "s3://b?x=1": {}, "s3://me:secret@b/": {},
		"s3://b/1": {Retention: Retention{Mode: "FOREVER", Days: 3}}, "s3://b/2": {Retention: Retention{Days: -1}},
		"s3://b/3": {Endpoint: "ftp://host"}, t.TempDir(): {Retention: Retention{Mode: "COMPLIANCE", Days: 3}},
	} {
		if s, err := OpenStore(location, true, cfg); err == nil {
			t.Errorf("%s %+v: got %s", location, cfg, s)
		}
	}
	if s, err := OpenStore("s3://b", false, StoreConfig{Endpoint: "https://host:9000/"}); err != nil || s.String() != "s3://b" {
		t.Errorf("got %v, %v", s, err)
	}
}

// TestStopWhileABucketIsDown: no wait that outlives its context.
func TestStopWhileABucketIsDown(t *testing.T) {
	_, cfg := newFakeS3(t)
	cfg.Endpoint = "http://127.0.0.1:1"
	s, err := OpenStore("s3://bucket", false, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := archiver(newLog(), s).RunOnce(ctx); err == nil {
		t.Error("no error")
	}
}
