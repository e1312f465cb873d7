"""What scripts of the pages do beside figures that move: the ledger's filter, figures to take."""

from pathlib import Path

import pytest


@pytest.fixture
def page(browser):
    opened = browser.new_page()
    opened.set_default_timeout(10_000)
    yield opened
    opened.close()


def test_the_ledger_is_filtered_by_verdict_post_and_chapter(page, site):
    page.goto(f"{(site / 'claims.html').as_uri()}?post=2")
    told, claims = page.locator(".bn-filter output"), page.locator(".bn-claim:visible")
    lists = {name: page.locator(f"select[name={name}]") for name in ("verdict", "post", "chapter")}
    all_claims = page.locator(".bn-claim").count()
    assert lists["post"].input_value() == "2", "an address chooses"
    of_the_post = claims.count()
    assert 0 < of_the_post < all_claims
    assert told.text_content() == f"{of_the_post} of {all_claims} claims"

    lists["verdict"].select_option("does-not-hold-here")
    lists["chapter"].select_option("training")
    assert 0 < claims.count() < of_the_post
    for claim in claims.all():
        assert "2" in claim.get_attribute("data-post").split()
        assert "does-not-hold-here:training" in claim.get_attribute("data-parts").split()

    hidden = page.locator(".bn-claim:not(:visible) > [id^=c]").first.get_attribute("id")
    page.evaluate("id => { location.hash = id; }", hidden)
    page.locator(f"#{hidden}").wait_for(state="visible")
    page.wait_for_function("total => !document.querySelector('.bn-claim[hidden]')")

    effects = page.locator(".bn-effects")
    page.locator(".bn-filter [type=button]").press("Enter")
    assert effects.locator("visible=true").count() >= effects.count()
    assert page.locator(".bn-effects:not([open])").count() == 0


def test_a_figure_is_saved_in_the_colours_that_it_shows(page, site, tmp_path):
    page.emulate_media(color_scheme="dark")
    page.goto((site / "intro.html").as_uri())
    offer = page.locator("#fig-company .bn-take")
    offer.locator("summary").press("Enter")
    found = {}
    for kind in ("svg", "png"):
        with page.expect_download() as download:
            offer.locator(f"[data-kind={kind}]").press("Enter")
        assert download.value.suggested_filename == f"fig-company.{kind}"
        found[kind] = Path(download.value.path()).read_bytes()
    assert b"var(" not in found["svg"]
    assert b"#121212" in found["svg"], "the paper of the dark page"
    assert found["png"].startswith(b"\x89PNG")
