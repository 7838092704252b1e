"""Opens a page of `prunebench report --html` in headless Chromium and checks what a reader would do with it.

    python tests/browser/page.py page.html --screenshots shots [--chromium /usr/bin/chromium]

It fails on an error in the console, a request to anywhere, a table that does not sort or filter, a point without provenance, or a
page that is wider than its window. Wants `pip install playwright`, and a Chromium (`playwright install chromium`, or the system's).
"""

import argparse
import pathlib
import time

from playwright.sync_api import sync_playwright

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


def numbers(page, column):
    """The sorted column's numbers of the first table, where a row has one."""
    cells = page.locator("section:not(.claims)").first.locator(f"tbody tr td:nth-child({column})").all_inner_texts()
    first = [text.split("\n")[0].replace(",", "").replace("−", "-") for text in cells]
    return [float(text) for text in first if text != "—"]


def check(page, address):
    begin = time.monotonic()
    page.goto(address)
    page.wait_for_selector("tbody tr")
    opened = time.monotonic() - begin
    section = page.locator("section:not(.claims)").first

    headers = section.locator("thead button").all_inner_texts()
    sortable = next(i for i, text in enumerate(headers) if text.startswith(("perplexity", "acc", "decode")))
    head = section.locator("thead button").nth(sortable)
    head.click()
    up = numbers(page, sortable + 1)
    assert len(up) > 1 and up == sorted(up), up
    head.click()
    assert numbers(page, sortable + 1) == sorted(up, reverse=True) or section.locator(".more").is_visible()
    assert section.locator("thead th").nth(sortable).get_attribute("aria-sort") == "descending"

    everything = section.locator("tbody tr").count()
    word = section.locator("tbody tr td").first.inner_text().split("(")[0]
    section.locator("input[type=search]").fill(word)
    shown = section.locator("tbody tr")
    assert 0 < shown.count() <= everything
    assert all(word in text for text in shown.all_inner_texts())
    section.locator("input[type=search]").fill("no such recipe")
    assert shown.count() == 0
    section.locator("input[type=search]").fill("")

    rows = page.evaluate("JSON.parse(document.getElementById('data').textContent).sections[0].rows")
    masked = sum(row["masked"] for row in rows)
    assert section.locator(".point .hollow").count() == masked, masked
    assert ("hollow: masked" in section.locator(".legend").inner_text()) == (masked > 0)
    sizes = {row["numbers"]["stored parameters"]["value"] for row in rows if "stored parameters" in row["numbers"]}
    across = section.get_by_label("horizontal axis").locator("option:checked").inner_text()
    assert (across == "stored parameters") == (len(sizes) > 1), across

    point = section.locator(".point").last
    point.dispatch_event("pointerover")
    assert "record " in page.locator("#tip").inner_text()
    point.dispatch_event("click")
    details = page.locator("#details").inner_text()
    assert "revision" in details and "machine" in details and "Record of seed" in details, details
    page.keyboard.press("Escape")
    assert page.locator("#details").is_hidden()
    section.locator("tbody tr").first.click()
    assert page.locator("#details").is_visible()
    page.keyboard.press("Escape")

    claims = page.locator("section.claims tbody tr")
    if claims.count():
        claims.first.click()
        assert claims.first.locator("td").first.inner_text().split("\n")[0] in page.locator("#details").inner_text()
        page.keyboard.press("Escape")

    for kind in ["SVG", "PNG"]:
        with page.expect_download() as download:
            section.get_by_role("button", name=kind, exact=True).click()
        assert pathlib.Path(download.value.path()).stat().st_size > 1000

    wide, window = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= window, f"the page is {wide} px wide in a window of {window} px"
    return opened


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("--screenshots", type=pathlib.Path)
    parser.add_argument("--chromium", help="the browser's program; Playwright's own if left out")
    args = parser.parse_args()
    address = args.page.resolve().as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=args.chromium)
        for size, (width, height) in SIZES.items():
            for scheme in ["light", "dark"]:
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                faults = []
                page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
                page.on("pageerror", lambda error: faults.append(str(error)))
                page.on("request", lambda request: faults.append(request.url) if request.url.startswith(("http", "ws", "ftp")) else None)
                opened = check(page, address)
                assert not faults, faults
                print(f"{size}, {scheme}: opened in {opened:.2f} s, nothing amiss")
                if args.screenshots:
                    args.screenshots.mkdir(parents=True, exist_ok=True)
                    page.goto(address)
                    page.wait_for_selector("tbody tr")
                    page.screenshot(path=args.screenshots / f"{size}-{scheme}.png")
                    page.locator(".point").last.dispatch_event("click")
                    page.screenshot(path=args.screenshots / f"{size}-{scheme}-details.png")
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
