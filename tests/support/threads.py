"""Jobs in threads, all at once."""

import threading
from collections.abc import Callable


def run_together(*jobs: Callable[[], None]) -> None:
    """Run jobs in a thread each, all at once, and raise what one of them raises."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], None]) -> None:
        try:
            start.wait()
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
