async def test_database_answers(database):
    assert await database.fetchval("select count(*) from changes") == 1
    assert await database.fetchval("select current_user") == "cmg"
    assert await database.ping() < 1
