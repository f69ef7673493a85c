/* The pool of threads: tiles shared by an atomic counter, a short spin before sleeping, the caller at work too, safe to fork. */
#include "engine.h"

#if defined(__wasm__) || defined(CANDLE_NO_THREADS)

void pool_run(int64_t tiles, void (*fn)(void *, int64_t, int), void *ctx) {
    for (int64_t t = 0; t < tiles; t++) fn(ctx, t, 0);
}
int pool_size(void) { return 1; }
void pool_resize(int threads) { (void)threads; }

#else

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() ((void)0)
#endif

/* Spins of a worker before it sleeps: some 20 us, longer than the gap between two operations of one program and shorter than
   a scheduler's slice, so that a core that another process wants is soon given up. */
#define SPINS 800

static struct {
    pthread_mutex_t lock; /* guards sleeping, and the making of threads */
    pthread_cond_t wake;
    atomic_flag busy; /* one job at a time; a second caller does its work alone */
    atomic_ulong generation;
    atomic_bool open;
    atomic_int inside; /* workers that may be looking at the job */
    atomic_int sleepers;
    _Atomic int64_t next;
    int64_t tiles;
    void (*fn)(void *, int64_t, int);
    void *ctx;
    int wanted, started;
    atomic_int limit; /* workers numbered from here on keep out */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .busy = ATOMIC_FLAG_INIT, .wanted = 1};

static _Thread_local bool in_tile;

static void work(int worker) {
    in_tile = true;
    for (;;) {
        int64_t t = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed);
        if (t >= pool.tiles) break;
        pool.fn(pool.ctx, t, worker);
    }
    in_tile = false;
}

static void *worker_main(void *arg) {
    int worker = (int)(intptr_t)arg;
    unsigned long seen = 0;
    for (;;) {
        int spins = 0;
        unsigned long now;
        while ((now = atomic_load(&pool.generation)) == seen) {
            if (spins++ < SPINS) {
                RELAX();
                continue;
            }
            pthread_mutex_lock(&pool.lock);
            atomic_fetch_add(&pool.sleepers, 1);
            while (atomic_load(&pool.generation) == seen) pthread_cond_wait(&pool.wake, &pool.lock);
            atomic_fetch_sub(&pool.sleepers, 1);
            pthread_mutex_unlock(&pool.lock);
        }
        seen = now;
        if (worker >= atomic_load(&pool.limit)) continue;
        atomic_fetch_add(&pool.inside, 1);
        if (atomic_load(&pool.open)) work(worker);
        atomic_fetch_sub(&pool.inside, 1);
    }
    return NULL;
}

static void in_child(void) { /* the threads stayed behind in the parent */
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    atomic_flag_clear(&pool.busy);
    pool.open = false;
    pool.inside = 0;
    pool.sleepers = 0;
    pool.started = 0;
    in_tile = false;
}

static void start(void) {
    static bool registered;
    if (!registered) pthread_atfork(NULL, NULL, in_child), registered = true;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 1 << 20);
    while (pool.started < pool.wanted - 1) {
        pthread_t thread;
        if (pthread_create(&thread, &attr, worker_main, (void *)(intptr_t)(pool.started + 1)) != 0) {
            pool.wanted = pool.started + 1; /* the system gives no more: go on with those there are */
            break;
        }
        pool.started++;
    }
    pthread_attr_destroy(&attr);
}

void pool_run(int64_t tiles, void (*fn)(void *, int64_t, int), void *ctx) {
    if (tiles <= 1 || pool.wanted <= 1 || in_tile || atomic_flag_test_and_set(&pool.busy)) {
        for (int64_t t = 0; t < tiles; t++) fn(ctx, t, 0);
        return;
    }
    if (pool.started < pool.wanted - 1) start();
    pool.fn = fn;
    pool.ctx = ctx;
    pool.tiles = tiles;
    atomic_store(&pool.next, 0);
    atomic_store(&pool.limit, pool.wanted);
    atomic_store(&pool.open, true);
    atomic_fetch_add(&pool.generation, 1);
    if (atomic_load(&pool.sleepers) > 0) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
    work(0);
    atomic_store(&pool.open, false);
    for (int spins = 0; atomic_load(&pool.inside) > 0; spins++) {
        if (spins < SPINS * 4) RELAX();
        else sched_yield();
    }
    atomic_flag_clear(&pool.busy);
}

int pool_size(void) { return pool.wanted; }

void pool_resize(int threads) {
    while (atomic_flag_test_and_set(&pool.busy)) sched_yield();
    pool.wanted = threads < 1 ? 1 : threads > POOL_MAX ? POOL_MAX : threads;
    atomic_flag_clear(&pool.busy);
}

#endif
